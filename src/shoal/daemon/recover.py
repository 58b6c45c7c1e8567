"""``shoald --recover``: what cannot be trusted is moved aside, and what can be proved of it is kept.

Runs before anything else does, and touches only what a start would refuse. docs/adr/0006-state-that-is-trusted.md.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from shoal.agent.worker import KINDS as AGENT_KINDS
from shoal.agent.worker import RESOURCE, Kept
from shoal.daemon import membership
from shoal.daemon.addresses import joined
from shoal.daemon.membership import CERTIFICATES, DATABASE, ETCD, FILE, Membership
from shoal.durable import salvage
from shoal.durable.faults import refusal
from shoal.durable.objectfile import ObjectFile, read_mark
from shoal.engine import copies
from shoal.errors import Damaged, InvalidArgument, ShoalError
from shoal.localdb.localdb import INCOMPLETE, INCOMPLETE_CONTAINERS, INCOMPLETE_TASKS, Mark
from shoal.manager.cluster import in_a_new_epoch
from shoal.manager.dispatcher.snapshot import snapshot_of
from shoal.manager.found import first_node, issue
from shoal.objects.base import timestamp
from shoal.objects.cluster import Cluster
from shoal.objects.container import Container
from shoal.objects.ids import NodeId
from shoal.objects.local_network import LocalNetwork
from shoal.objects.meta import Version
from shoal.objects.node import Node
from shoal.objects.volume import Volume
from shoal.pki import files
from shoal.pki.identity import WORKER, addresses, identity
from shoal.store.backend import Change
from shoal.store.backends.sqlite import STATE, rows_of
from shoal.store.store import read_object
from shoal.store.tables import Stored, Tables
from shoal.store.tx import TableView

Rows = list[tuple[str, str, bytes]]
_KINDS: dict[str, type[msgspec.Struct]] = {
    "container": Container,
    "network": LocalNetwork,
    "volume": Volume,
    INCOMPLETE: Mark,
    **AGENT_KINDS,
}
_PORT = "2377"


def recover(data_root: Path, now: datetime) -> Iterator[str]:
    """Make every file of state one that can be trusted; what was done, a line each. Raises ShoalError."""
    stamp = salvage.stamp(now)
    try:
        # The swarm's state first: it says what this node was told.
        told = [*_recover_swarm(data_root, stamp, now), *_recover_node(data_root, stamp)]
    except OSError as error:
        raise refusal("the recovery stopped", error, data_root) from error
    yield from told or [f"all state below {data_root} can be trusted: nothing was changed"]


def check_presence(data_root: Path) -> None:
    """Raise Damaged where there is no database, and what it must have known of is there."""
    path = data_root / "node.db"
    if not path.exists() and ((data_root / "swarm" / FILE).exists() or copies.load(data_root / "containers")):
        raise Damaged(f"the node's state in {path} is missing, and this node has containers or is in a swarm")


def _read(path: Path, what: str, root: Path) -> tuple[salvage.Salvaged, str]:
    """What a database holds, and why it cannot be trusted (empty: it can)."""
    try:
        file = ObjectFile.open(path, what=what, root=root)
    except Damaged as error:
        return salvage.salvage(path), str(error)
    try:
        return salvage.Salvaged(list(file.rows()), file.number), ""
    finally:
        file.close()


def _recover_node(root: Path, stamp: str) -> Iterator[str]:
    path, what = root / "node.db", "the node's state"
    try:
        check_presence(root)
        found, why = _read(path, what, root)
    except Damaged as error:
        found, why = salvage.Salvaged(), str(error)
        path.touch(mode=0o600)
    rows = [row for row in found.rows if _is_readable(*row)]
    dropped = found.dropped + [f"{kind} {key}" for kind, key, _ in found.rows if not _is_readable(kind, key, _)]
    if not why and not dropped:
        return
    if told := _told(root):
        rows = [row for row in rows if row[0] != RESOURCE] + told
    again = _second_copies(root, {row[:2]: row[2] for row in rows})
    newer = {row[:2] for row in again}
    rows = [row for row in rows if row[:2] not in newer]
    known = {row[:2] for row in rows}
    rows += again
    # Until a manager has told which tasks there are, and for what no record is left of: see Worker and Lifecycle.
    rows += [
        (INCOMPLETE, subject, b"{}")
        for subject in (INCOMPLETE_TASKS, INCOMPLETE_CONTAINERS)
        if (INCOMPLETE, subject) not in known
    ]
    number = max(found.number, read_mark(path))
    aside = salvage.replace(path, rows, number, what=what, root=root, stamp=stamp)
    yield why or f"{what} in {path} holds objects that cannot be read"
    yield f"  it is now {aside}; {len(known)} objects were kept"
    restored = {f"{kind} {key}" for kind, key, _ in again + told}
    if told:
        yield "  what the swarm wants of this node was taken from the swarm's own state"
    yield from (f"  restored from its own files: {kind} {key}" for kind, key, _ in again)
    yield from (f"  dropped: {name}" for name in dropped if name not in restored)


def _is_readable(kind: str, key: str, value: bytes) -> bool:
    try:
        msgspec.json.decode(value, type=_KINDS.get(kind, Mark))
    except msgspec.MsgspecError:
        return False
    return kind in _KINDS


def _told(root: Path) -> Rows:
    """The snapshot that the manager on this very node would give it; nothing without one that can be trusted."""
    folder = root / "swarm"
    try:
        member = membership.read(folder)
        if member is None or not (folder / DATABASE).exists():
            return []
        found, why = _read(folder / DATABASE, STATE, root)
    except Damaged:
        return []
    objects, unreadable = _objects(found.rows)
    if why or unreadable:
        return []
    tables = Tables()
    for obj in objects:
        tables.put(obj)
    resources = snapshot_of(TableView(tables), member.node_id)
    return [(RESOURCE, key, msgspec.json.encode(Kept(resource))) for key, resource in resources.items()]


def _second_copies(root: Path, known: dict[tuple[str, str], bytes]) -> Rows:
    """What other files tell of containers, networks and volumes that the database does not know, or knows as they were
    before their last start."""
    rows: Rows = []
    for key, copy in copies.load(root / "containers").items():
        kept = known.get(("container", key))
        if kept is None or msgspec.json.decode(kept, type=Container).state.started_at < copy.state.started_at:
            rows.append(("container", key, msgspec.json.encode(copy)))
    for network in copies.load_networks(root / "containers"):
        if ("network", network.id) not in known:
            rows.append(("network", network.id, msgspec.json.encode(network)))
    for folder in sorted((root / "volumes").glob("*/_data")):
        made = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        volume = Volume(created_at=timestamp(made), mountpoint=str(folder), name=folder.parent.name)
        if ("volume", volume.name) not in known:
            rows.append(("volume", volume.name, msgspec.json.encode(volume)))
    return rows


def _recover_swarm(root: Path, stamp: str, now: datetime) -> Iterator[str]:
    folder = root / "swarm"
    if not any((folder / name).exists() for name in (DATABASE, ETCD, CERTIFICATES, FILE)):
        return
    if _is_worker(folder):
        yield from _recover_worker(folder, stamp)
        return
    if _shares_its_state(folder):
        yield from _recover_sharing(folder, stamp)
        return
    path, what = folder / DATABASE, STATE
    lost = "" if path.exists() else f"{what} in {path} is missing"
    found, why = (salvage.Salvaged(), lost) if lost else _read(path, what, root)
    objects, unreadable = _objects(found.rows)
    cluster = next((obj for obj in objects if isinstance(obj, Cluster) and obj.root_ca_key), None)
    if cluster is None:
        yield why or f"{what} in {path} cannot be trusted"
        yield "  the swarm's own object is lost: nothing was changed, and the manager will not run. Restore a backup"
        yield "  (shoal state import --force FILE), or give the swarm up (docker swarm leave --force)"
        return
    member, told = _member(folder, objects, stamp)
    if member is None:
        yield from told
        return
    if not any(isinstance(obj, Node) and obj.id == member.node_id for obj in objects):
        why = why or f"{what} in {path} does not know this node"
        objects.append(first_node(NodeId(member.node_id), member.advertise))
    if why or unreadable:
        newest = max(obj.version.index for obj in objects)
        number = max(found.number, read_mark(path), newest) + 1
        rows = rows_of(_of(obj, number) for obj in in_a_new_epoch(objects, now))
        aside = salvage.replace(path, rows, number, what=what, root=root, stamp=stamp)
        yield why or f"{what} in {path} holds objects that cannot be read"
        yield f"  it is now {aside}; {len(rows)} objects were kept"
        yield from (f"  dropped: {name}" for name in found.dropped + unreadable)
    yield from told
    yield from _recover_certificates(folder, member, cluster, objects, stamp, now)


def _is_worker(folder: Path) -> bool:
    """Whether this node is a worker, as far as its files tell."""
    if (folder / DATABASE).exists():
        return False
    with suppress(ShoalError):
        member = membership.read(folder)
        return member is not None and not member.is_manager
    with suppress(ShoalError):
        return identity(files.load(folder / CERTIFICATES).certificate).role == WORKER
    return False


def _recover_worker(folder: Path, stamp: str) -> Iterator[str]:
    """A worker's files are its manager's word, which nobody here can give again."""
    try:
        member = membership.read(folder)
        assert member is not None
        membership.check_certificates(member, folder)
    except Damaged as error:
        aside = salvage.move_aside(folder, stamp)
        yield str(error)
        yield f"  only a manager can give a worker its place: all of it is now {aside}, and this node is in no swarm;"
        yield "  its tasks go at the next start. Join again (docker swarm join), and remove the old node on a manager"


def _shares_its_state(folder: Path) -> bool:
    """Whether this manager has its state in etcd, as far as its files tell."""
    with suppress(ShoalError):
        member = membership.read(folder)
        return member is not None and bool(member.store)
    return (folder / ETCD).exists() and not (folder / DATABASE).exists()


def _recover_sharing(folder: Path, stamp: str) -> Iterator[str]:
    """A manager's, whose state is etcd's own to prove: what this node is, from its certificate."""
    try:
        member = membership.read(folder)
        assert member is not None
        membership.check_certificates(member, folder)
        return
    except Damaged as error:
        yield str(error)
    try:
        certificate = files.load(folder / CERTIFICATES).certificate
        host = addresses(certificate)[0]
    except (ShoalError, IndexError):
        aside = salvage.move_aside(folder, stamp)
        yield f"  only another manager can give this one a certificate: all of it is now {aside}, and this node is"
        yield "  in no swarm; its tasks go at the next start. Demote and remove it on another manager, and join again;"
        yield "  where there is none, restore a backup (shoal state import --force FILE)"
        return
    member = Membership(
        node_id=identity(certificate).node_id,
        listen=f"0.0.0.0:{_PORT}",
        advertise=joined(host, int(_PORT)),
        data_path=host,
        store=ETCD,
    )
    aside = salvage.move_aside(folder / FILE, stamp)
    membership.write(folder, member)
    yield f"  it was {aside}; made anew for node {member.node_id}, reached at {member.advertise}, listening everywhere"


def _of(obj: Stored, number: int) -> Stored:
    """An object that is new here has this transaction's version."""
    return obj if obj.version.index else msgspec.structs.replace(obj, version=Version(index=number))


def _objects(rows: Rows) -> tuple[list[Stored], list[str]]:
    objects, unreadable = [], []
    for kind, key, value in rows:
        try:
            objects.append(read_object(Change(kind, key, value)))
        except Damaged:
            unreadable.append(f"{kind} {key}")
    return objects, unreadable


def _member(folder: Path, objects: Iterable[Stored], stamp: str) -> tuple[Membership | None, list[str]]:
    """What this node is: as it remembers, or as its certificate and the swarm's objects say."""
    try:
        member = membership.read(folder)
        assert member is not None
    except Damaged as error:
        why = str(error)
    else:
        return member, []
    nodes = {obj.id: obj for obj in objects if isinstance(obj, Node) and obj.manager_status is not None}
    try:
        node = nodes.get(identity(files.load(folder / CERTIFICATES).certificate).node_id)
    except ShoalError:
        node = None
    node = node or next(iter(nodes.values()), None)
    if node is None or node.manager_status is None or not node.manager_status.addr:
        return None, [
            why,
            "  nothing else tells which node this is: restore a backup (shoal state import --force FILE)",
        ]
    advertise = node.manager_status.addr
    host, _, port = advertise.rpartition(":")
    member = Membership(
        node_id=node.id,
        listen=f"0.0.0.0:{port or _PORT}",
        advertise=advertise,
        data_path=node.status.addr or host.strip("[]"),
    )
    aside = salvage.move_aside(folder / FILE, stamp)
    membership.write(folder, member)
    return member, [
        why,
        f"  it was {aside}; made anew for node {node.id}, reached at {advertise}, listening everywhere",
    ]


def _recover_certificates(
    folder: Path, member: Membership, cluster: Cluster, objects: Iterable[Stored], stamp: str, now: datetime
) -> Iterator[str]:
    tables = Tables()
    for obj in objects:
        tables.put(obj)
    try:
        membership.check(member, folder, TableView(tables))
    except Damaged as error:
        try:
            fresh = issue(cluster, NodeId(member.node_id), member.advertise, now)
        except InvalidArgument as reason:
            yield str(error)
            yield f"  and the swarm's authority cannot make new ones: {reason}"
            return
        aside = salvage.move_aside(folder / CERTIFICATES, stamp)
        files.save(folder / CERTIFICATES, fresh)
        yield str(error)
        yield f"  they are now {aside}; new ones were issued by the swarm's authority"
