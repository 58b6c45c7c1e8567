"""Snapshots: layers unpacked, and what lies writable on top of them.

A committed snapshot is named by its layers' chain id, an active one by its key: for a container's, the container's id.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from enum import Enum

import msgspec
from google.protobuf.empty_pb2 import Empty

from shoal.container.containerd.client import Containerd
from shoal.container.containerd.pb import snapshots_pb2 as pb
from shoal.container.containerd.pb import types_pb2
from shoal.container.rootfs import RootMount, SnapshotUsage
from shoal.errors import NotFound
from shoal.wire.rpc import Streaming, Unary

_SERVICE = "containerd.services.snapshots.v1.Snapshots"
_PREPARE = Unary(f"{_SERVICE}/Prepare", pb.PrepareSnapshotRequest, pb.PrepareSnapshotResponse)
_VIEW = Unary(f"{_SERVICE}/View", pb.ViewSnapshotRequest, pb.ViewSnapshotResponse)
_MOUNTS = Unary(f"{_SERVICE}/Mounts", pb.MountsRequest, pb.MountsResponse)
_COMMIT = Unary(f"{_SERVICE}/Commit", pb.CommitSnapshotRequest, Empty)
_REMOVE = Unary(f"{_SERVICE}/Remove", pb.RemoveSnapshotRequest, Empty)
_STAT = Unary(f"{_SERVICE}/Stat", pb.StatSnapshotRequest, pb.StatSnapshotResponse)
_LIST = Streaming(f"{_SERVICE}/List", pb.ListSnapshotsRequest, pb.ListSnapshotsResponse)
_USAGE = Unary(f"{_SERVICE}/Usage", pb.UsageRequest, pb.UsageResponse)


class SnapshotKind(Enum):
    """What a snapshot is for."""

    VIEW = pb.VIEW
    ACTIVE = pb.ACTIVE
    COMMITTED = pb.COMMITTED


class SnapshotInfo(msgspec.Struct, frozen=True):
    """What containerd says of a snapshot."""

    name: str
    parent: str
    kind: SnapshotKind
    labels: Mapping[str, str] = {}


class Snapshots:
    """The snapshots of one namespace in one snapshotter."""

    def __init__(self, containerd: Containerd, *, snapshotter: str) -> None:
        self.snapshotter = snapshotter
        self._containerd = containerd

    async def prepare(
        self, key: str, parent: str = "", *, labels: Mapping[str, str] | None = None, lease: str = ""
    ) -> tuple[RootMount, ...]:
        """A writable snapshot on top of the committed one ``parent``. Raises NotFound (no parent), Conflict (taken)."""
        request = pb.PrepareSnapshotRequest(snapshotter=self.snapshotter, key=key, parent=parent, labels=labels or {})
        return from_pb((await self._containerd.call(_PREPARE, request, lease=lease)).mounts)

    async def view(self, key: str, parent: str, *, lease: str = "") -> tuple[RootMount, ...]:
        """A read-only look at a committed snapshot; to be removed like any other."""
        request = pb.ViewSnapshotRequest(snapshotter=self.snapshotter, key=key, parent=parent)
        return from_pb((await self._containerd.call(_VIEW, request, lease=lease)).mounts)

    async def mounts(self, key: str) -> tuple[RootMount, ...]:
        """The mounts of an active snapshot or a view. Raises NotFound."""
        request = pb.MountsRequest(snapshotter=self.snapshotter, key=key)
        return from_pb((await self._containerd.call(_MOUNTS, request)).mounts)

    async def commit(self, name: str, key: str, *, labels: Mapping[str, str] | None = None, lease: str = "") -> None:
        """Make the active snapshot ``key`` the committed one ``name``. Raises Conflict when there is one already."""
        request = pb.CommitSnapshotRequest(snapshotter=self.snapshotter, name=name, key=key, labels=labels or {})
        await self._containerd.call(_COMMIT, request, lease=lease)

    async def remove(self, key: str) -> None:
        """Remove it; none is no error. Raises FailedPrecondition when another lies on top of it."""
        try:
            await self._containerd.call(_REMOVE, pb.RemoveSnapshotRequest(snapshotter=self.snapshotter, key=key))
        except NotFound:
            return

    async def stat(self, key: str) -> SnapshotInfo:
        """Raises NotFound."""
        request = pb.StatSnapshotRequest(snapshotter=self.snapshotter, key=key)
        return _info((await self._containerd.call(_STAT, request)).info)

    async def exists(self, key: str) -> bool:
        """Whether it is there."""
        try:
            await self.stat(key)
        except NotFound:
            return False
        return True

    async def walk(self, *filters: str) -> AsyncIterator[SnapshotInfo]:
        """Every snapshot, or those that match any of containerd's filter expressions (``parent==…``)."""
        request = pb.ListSnapshotsRequest(snapshotter=self.snapshotter, filters=filters)
        async for answer in self._containerd.stream(_LIST, request):
            for info in answer.info:
                yield _info(info)

    async def usage(self, key: str) -> SnapshotUsage:
        """Counted on the disk for an active snapshot, which takes as long as ``du``. Raises NotFound."""
        answer = await self._containerd.call(_USAGE, pb.UsageRequest(snapshotter=self.snapshotter, key=key))
        return SnapshotUsage(answer.size, answer.inodes)


def to_pb(mounts: Iterable[RootMount]) -> list[types_pb2.Mount]:
    """For the other calls that take them."""
    return [types_pb2.Mount(type=mount.type, source=mount.source, options=mount.options) for mount in mounts]


def from_pb(mounts: Iterable[types_pb2.Mount]) -> tuple[RootMount, ...]:
    """The same the other way round."""
    return tuple(RootMount(mount.type, mount.source, tuple(mount.options)) for mount in mounts)


def _info(info: pb.Info) -> SnapshotInfo:
    return SnapshotInfo(info.name, info.parent, SnapshotKind(info.kind), dict(info.labels))
