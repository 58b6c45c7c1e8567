"""Leadership by a lease: the leader's key goes with the lease that it hangs on, unless that is renewed in time."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import NotFound, ShoalError
from shoal.store.backend import Fence
from shoal.store.election import Leadership
from shoal.store.etcd.calls import GRANT, KEEP_ALIVE, RANGE, REVOKE, TXN, created_at, get, put
from shoal.store.etcd.client import Etcd, Unanswered
from shoal.store.etcd.pb.rpc_pb2 import (
    Event,
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseRevokeRequest,
    RangeRequest,
    TxnRequest,
    WatchCreateRequest,
)

_log = logging.getLogger(__name__)

# In seconds. etcd grants no less than 2. With 3, and a renewal each second, one renewal may be lost; a leader that dies
# is replaced within 4 seconds, since etcd looks for ended leases twice a second, and 5 is what writes may take then.
LEASE_SECONDS = 3
RENEWAL_SECONDS = LEASE_SECONDS / 3
# What the leader holds its lease for, of what etcd does: clocks do not run at quite the same pace.
_OURS = 0.9
_PAUSE = 0.2


class EtcdElection:
    """One manager's candidature, under its id; see :class:`shoal.store.election.Election`."""

    def __init__(self, *, etcd: Etcd, prefix: str, candidate: str, clock: Clock) -> None:
        self._etcd = etcd
        self._key = f"{prefix}leader".encode()
        self._candidate = candidate
        self._clock = clock

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Leadership, None]:
        leadership, lease, until = await self._won()
        keeper = spawn(self._keep(leadership, lease, until), name="keep the leadership")
        try:
            yield leadership
        finally:
            await cancel(keeper)
            leadership.end()
            await self._give_up(lease)

    async def _won(self) -> tuple[Leadership, int, float]:
        """Leadership, the lease that it hangs on, and until when that is ours without renewal."""
        told = ""
        while True:
            try:
                await self._vacancy()
                if (won := await self._run()) is not None:
                    return won
            except ShoalError as error:
                if str(error) != told:
                    _log.warning("the election of a leader is waited for: %s", error)
                told = str(error)
                await self._clock.sleep(_PAUSE)

    async def _vacancy(self) -> None:
        """Wait until nobody leads."""
        present = await self._etcd.ask_patiently(RANGE, RangeRequest(key=self._key))
        if not present.kvs:
            return
        wanted = WatchCreateRequest(key=self._key, start_revision=present.header.revision + 1)
        async with aclosing(self._etcd.watch(wanted)) as answers:
            async for answer in answers:
                if answer.canceled or any(event.type == Event.EventType.DELETE for event in answer.events):
                    return

    async def _run(self) -> tuple[Leadership, int, float] | None:
        """Take the vacant place, unless another candidate is faster."""
        asked = self._clock.monotonic()
        lease = await self._etcd.ask(GRANT, LeaseGrantRequest(TTL=LEASE_SECONDS))
        taken = await self._etcd.ask(
            TXN,
            TxnRequest(
                compare=[created_at(self._key, 0)],
                success=[put(self._key, self._candidate.encode(), lease=lease.ID)],
                failure=[get(self._key)],
            ),
        )
        if not taken.succeeded:
            await self._give_up(lease.ID)
            return None
        fence = Fence(self._key.decode(), taken.header.revision)
        return Leadership(fence), lease.ID, asked + lease.TTL * _OURS

    async def _keep(self, leadership: Leadership, lease: int, until: float) -> None:
        """Renew the lease until it is lost: because etcd says so, or because we have not heard from it for too long."""
        try:
            await self._renewed(lease, until)
            _log.warning("this manager does not lead the swarm any more")
        finally:
            leadership.end()

    async def _renewed(self, lease: int, until: float) -> None:
        while (left := until - self._clock.monotonic()) > 0:
            asked = self._clock.monotonic()
            try:
                answer = await self._etcd.ask_streaming(
                    KEEP_ALIVE, LeaseKeepAliveRequest(ID=lease), timeout=min(left, RENEWAL_SECONDS)
                )
            except Unanswered:
                await self._clock.sleep(_PAUSE)
                continue
            except ShoalError as error:
                _log.warning("the leadership could not be kept: %s", error)
                return
            if answer.TTL <= 0:
                return
            until = asked + answer.TTL * _OURS
            await self._clock.sleep(RENEWAL_SECONDS)

    async def _give_up(self, lease: int) -> None:
        """Let the next one lead at once; without that it does so once the lease has run out."""
        try:
            await self._etcd.ask(REVOKE, LeaseRevokeRequest(ID=lease))
        except NotFound:
            pass  # it has run out
        except ShoalError as error:
            _log.info("the lease runs out by itself: %s", error)
