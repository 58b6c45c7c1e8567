"""Layers between their two forms: a blob in the content store, and a snapshot (OCI image specification, layer.md)."""

import re
from collections.abc import Iterable
from hashlib import sha256
from uuid import uuid4

from shoal.container.containerd.client import Containerd
from shoal.container.containerd.images import Descriptor, from_pb
from shoal.container.containerd.images import to_pb as descriptor_to_pb
from shoal.container.containerd.leases import hold_snapshot
from shoal.container.containerd.pb import diff_pb2 as pb
from shoal.container.containerd.snapshots import Snapshots
from shoal.container.containerd.snapshots import to_pb as mounts_to_pb
from shoal.container.rootfs import RootMount
from shoal.errors import Conflict, Internal, InvalidArgument, ShoalError
from shoal.wire.rpc import Unary

_APPLY = Unary("containerd.services.diff.v1.Diff/Apply", pb.ApplyRequest, pb.ApplyResponse)
_DIFF = Unary("containerd.services.diff.v1.Diff/Diff", pb.DiffRequest, pb.DiffResponse)


def chain_id(diff_ids: Iterable[str]) -> str:
    """The name of the snapshot that these layers, undermost first, add up to; empty for none (config.md, ChainID)."""
    chain = ""
    for diff_id in diff_ids:
        chain = f"sha256:{sha256(f'{chain} {diff_id}'.encode()).hexdigest()}" if chain else diff_id
    return chain


_LAYERS_FAULT = (
    "archive/tar", "unexpected EOF", "invalid", "gzip:", "zstd:", "magic number mismatch", "file name too long",
    "no such file or directory", "not a directory", "is a directory", "file exists", "levels of symbolic links",
    "breakout", "operation not permitted", "cross-device link", "file too large",
)  # fmt: skip


async def apply(containerd: Containerd, layer: Descriptor, mounts: Iterable[RootMount]) -> Descriptor:
    """Unpack a layer's blob (tar, plain, gzip or zstd) into ``mounts``; what comes back describes the plain tar."""
    request = pb.ApplyRequest(diff=descriptor_to_pb(layer), mounts=mounts_to_pb(mounts))
    try:
        return from_pb((await containerd.call(_APPLY, request)).applied)
    except Internal as error:
        raise explained(layer, error) from error


def explained(layer: Descriptor, error: Internal) -> ShoalError:
    """What containerd says of a layer that will not unpack, without the folder that it had mounted for that; as
    InvalidArgument where the layer is to blame, which it says in words alone."""
    text = re.sub(r"^mount callback failed on \S+: ", "", str(error))
    text = re.sub(r"\S*/tmpmounts/containerd-mount\d+", "", text)
    blamed = any(words in text for words in _LAYERS_FAULT)
    return (InvalidArgument if blamed else Internal)(f"layer {layer.digest} cannot be unpacked: {text}")


async def diff(
    containerd: Containerd, lower: Iterable[RootMount], upper: Iterable[RootMount], *, media_type: str, lease: str
) -> Descriptor:
    """Write what ``upper`` changed over ``lower`` as a layer's blob, for ``commit`` and the like."""
    request = pb.DiffRequest(
        left=mounts_to_pb(lower), right=mounts_to_pb(upper), media_type=media_type, ref=f"shoal-diff-{uuid4()}"
    )
    return from_pb((await containerd.call(_DIFF, request, lease=lease)).diff)


async def unpack_layer(
    containerd: Containerd, snapshots: Snapshots, layer: Descriptor, *, diff_id: str, parent: str, lease: str
) -> str:
    """Make the snapshot of ``layer`` on top of the chain ``parent``, if it is not there; returns its chain id.

    Raises InvalidArgument when the layer is not what ``diff_id`` says. Two at a time do no harm.
    """
    chain = chain_id([parent, diff_id] if parent else [diff_id])
    if await snapshots.exists(chain):
        await hold_snapshot(containerd, lease, snapshotter=snapshots.snapshotter, name=chain)
        return chain
    key = f"unpack-{uuid4()}"
    mounts = await snapshots.prepare(key, parent, lease=lease)
    try:
        applied = await apply(containerd, layer, mounts)
        if applied.digest != diff_id:
            raise InvalidArgument(f"layer {layer.digest} unpacks to {applied.digest}, its image says {diff_id}")
        await snapshots.commit(chain, key, lease=lease)
    except Conflict:
        await snapshots.remove(key)  # another was quicker
    except BaseException:
        await snapshots.remove(key)
        raise
    return chain
