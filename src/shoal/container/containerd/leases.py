"""Leases: what is made under one stays until it ends, even while nothing refers to it yet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import uuid4

from google.protobuf.empty_pb2 import Empty

from shoal.aio.clock import Clock
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.pb import leases_pb2 as pb
from shoal.errors import NotFound, Unavailable
from shoal.wire.rpc import Unary

_SERVICE = "containerd.services.leases.v1.Leases"
_CREATE = Unary(f"{_SERVICE}/Create", pb.CreateRequest, pb.CreateResponse)
_DELETE = Unary(f"{_SERVICE}/Delete", pb.DeleteRequest, Empty)
_LIST = Unary(f"{_SERVICE}/List", pb.ListRequest, pb.ListResponse)
_ADD = Unary(f"{_SERVICE}/AddResource", pb.AddResourceRequest, Empty)

LIFETIME = timedelta(hours=24)
"""What a killed shoald leaves behind is collected after this long, if it never starts again."""

_OWNER = "shoal.owner"
_END_SECONDS = 10.0


@asynccontextmanager
async def lease(containerd: Containerd, *, clock: Clock, lifetime: timedelta = LIFETIME) -> AsyncIterator[str]:
    """A lease for the block; its id is what the ``lease=`` arguments of this package's calls take."""
    expires = (clock.now() + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {"containerd.io/gc.expire": expires, _OWNER: containerd.owner}
    request = pb.CreateRequest(id=f"shoal-{uuid4()}", labels=labels)
    lease_id = (await containerd.call(_CREATE, request)).lease.id
    try:
        yield lease_id
    finally:
        try:
            # Patient: a containerd that died in the middle of what this was for is back soon.
            await containerd.call(_DELETE, pb.DeleteRequest(id=lease_id), timeout=_END_SECONDS, patient=True)
        except (NotFound, Unavailable):
            pass  # it ends at the next start, or by itself


async def end_leftover(containerd: Containerd) -> None:
    """End the leases that this owner's last process died with, and have collected what nobody refers to; to be called
    before any lease is made."""
    request = pb.ListRequest(filters=[f'labels."{_OWNER}"=="{containerd.owner}"'])
    for left in (await containerd.call(_LIST, request)).leases:
        with suppress(NotFound):
            await containerd.call(_DELETE, pb.DeleteRequest(id=left.id))
    # Also where no lease was left: the process may have died between an image's removal and the collection.
    await collect(containerd)


async def collect(containerd: Containerd) -> None:
    """Have containerd collect what nobody refers to; by itself it does so after a hundred changes more."""
    marker = pb.CreateRequest(id=f"shoal-{uuid4()}", labels={_OWNER: containerd.owner})
    made = (await containerd.call(_CREATE, marker)).lease
    await containerd.call(_DELETE, pb.DeleteRequest(id=made.id, sync=True))


async def hold_snapshot(containerd: Containerd, lease_id: str, *, snapshotter: str, name: str) -> None:
    """Hold a committed snapshot that was there before the lease."""
    resource = pb.Resource(id=name, type=f"snapshots/{snapshotter}")
    await containerd.call(_ADD, pb.AddResourceRequest(id=lease_id, resource=resource))
