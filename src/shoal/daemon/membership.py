"""What a node remembers of its swarm besides the swarm's state: who it is, where it listens, its certificates.

All of it lies in one folder, ``<data-root>/swarm``, which comes and goes complete: it is made and removed under other
names and renamed in one step. So what is missing in it has been lost.
"""

import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from shoal.durable import files as durable
from shoal.durable.faults import refusal
from shoal.errors import Damaged, Forbidden, Internal, InvalidArgument, NotFound, ShoalError
from shoal.manager.cluster import trust_bundle
from shoal.objects.cluster import Cluster
from shoal.objects.ids import NodeId
from shoal.objects.node import Node
from shoal.pki import files
from shoal.pki.authority import verify_issued
from shoal.pki.identity import identity
from shoal.pki.pem import split_certificates
from shoal.store.tx import View

FILE, DATABASE, CERTIFICATES = "membership.json", "state.db", "certificates"
# Where the state is when several managers share it, as a membership says it: in an etcd of ours, of which this is the
# folder of this one's part, or in one that the users run.
ETCD, EXTERNAL = "etcd", "external"
WAYS_OUT = (
    "restore it from a backup (shoal state import --force FILE), or start shoald once with --recover, which keeps what "
    "can be read, moves the file aside and says what is dropped"
)


class Membership(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What this node is, where it listens and is reached, and the managers that it came to know when it joined (the
    snapshot knows the present ones). ``store`` is where a manager has the state: :data:`ETCD`, :data:`EXTERNAL`,
    or empty for the file.
    ``sum`` is over the other fields; it is set when writing."""

    node_id: str
    listen: str
    advertise: str
    data_path: str
    is_manager: bool = True
    managers: list[str] = []
    store: str = ""
    sum: int = 0


def read(folder: Path) -> Membership | None:
    """What this node is in its swarm, None where it is in none. Raises Damaged for what cannot be trusted."""
    path = folder / FILE
    try:
        content = path.read_bytes()
        found = msgspec.json.decode(content, type=Membership)
    except FileNotFoundError as error:
        if not any((folder / name).exists() for name in (DATABASE, ETCD, CERTIFICATES)):
            return None
        raise Damaged(f"{path} is missing, which says what this node is in its swarm") from error
    except OSError as error:
        raise refusal(f"{path} cannot be read", error, folder) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Damaged(f"{path} cannot be trusted: {error}") from error
    if found.sum and found.sum != _sum(content):
        raise Damaged(f"{path} cannot be trusted: it is not as it was written")
    return found


def write(folder: Path, membership: Membership) -> None:
    """Keep it, durably. Raises NoRoom, Internal."""
    summed = msgspec.structs.replace(membership, sum=_sum(msgspec.json.encode(membership)))
    try:
        durable.write(folder / FILE, msgspec.json.encode(summed))
    except OSError as error:
        raise refusal(f"{folder / FILE} cannot be written", error, folder.parent) from error


def _sum(content: bytes) -> int:
    """Over the fields that the file has, which are fewer in one of an older version."""
    fields: dict[str, object] = msgspec.json.decode(content)
    return zlib.crc32(msgspec.json.encode(fields | {"sum": 0}))


def check(membership: Membership, folder: Path, view: View) -> None:
    """Raise Damaged unless the membership, the certificates and the swarm's objects are of one swarm and one node."""
    clusters = view.all(Cluster)
    if not clusters or view.get(Node, NodeId(membership.node_id)) is None:
        lost = f"node {membership.node_id}" if clusters else "the swarm itself"
        place = "etcd" if membership.store else folder / DATABASE
        raise Damaged(f"the swarm's state in {place} cannot be trusted: {lost} is not in it")
    check_certificates(membership, folder)
    held = files.load(folder / CERTIFICATES)
    if identity(held.certificate).cluster_id != clusters[0].id or not _have_a_root(held.root, clusters[0]):
        raise Damaged(f"the certificates in {folder / CERTIFICATES} are another swarm's than its state")


def check_certificates(membership: Membership, folder: Path) -> None:
    """Raise Damaged unless the certificates are whole, and this node's."""
    place = folder / CERTIFICATES
    try:
        held = files.load(place)
        for root in split_certificates(held.root):
            verify_issued(root, root)
        verify_issued(held.certificate, held.root)
        named = identity(held.certificate).node_id
    except (NotFound, Internal, Forbidden, InvalidArgument) as error:
        raise Damaged(f"the certificates in {place} cannot be trusted: {error}") from error
    if named != membership.node_id:
        raise Damaged(f"the certificates in {place} are node {named}'s, and this is {membership.node_id}")


def _have_a_root(held: bytes, cluster: Cluster) -> bool:
    """Whether one of these roots is the swarm's: while that is changed, either may have one that the other has not."""
    known = trust_bundle(cluster).encode()
    return bool(known) and not set(split_certificates(held)).isdisjoint(split_certificates(known))


def making(folder: Path) -> Path:
    """Where the folder is made before it is complete; empty."""
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    return fresh


def appear(folder: Path) -> None:
    """What was made at :func:`making` is complete: from here on this node is in that swarm. Raises NoRoom, Internal."""
    _translated(lambda: os.replace(folder.with_name(f"{folder.name}.new"), folder), folder)


def vanish(folder: Path) -> None:
    """This node is in no swarm from here on, whatever is left to be removed. Raises NoRoom, Internal."""
    gone = folder.with_name(f"{folder.name}.left")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.exists():
        _translated(lambda: os.replace(folder, gone), folder)
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what a node that was killed has left of a swarm that it was founding or leaving."""
    for suffix in ("new", "left"):
        shutil.rmtree(folder.with_name(f"{folder.name}.{suffix}"), ignore_errors=True)


def _translated(rename: Callable[[], None], folder: Path) -> None:
    try:
        rename()
        durable.sync_folder(folder.parent)
    except OSError as error:
        raise refusal(f"{folder} cannot be changed", error, folder.parent) from error


def describe(error: ShoalError) -> str:
    """An error with the ways out, where it is one of trust."""
    return f"{error}: {WAYS_OUT}" if isinstance(error, Damaged) else str(error)
