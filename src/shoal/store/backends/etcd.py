"""Keeps transactions in etcd, for several managers.

Below the prefix are, as their users may see with ``etcdctl get --prefix``::

    state/head              which transaction is the last: shoal.store.etcd.head
    state/<kind>/<id>       an object's JSON
    state/pack              the changes of a large transaction, until they are in their objects' keys
    state/pack/<id>/<n>     the same of a whole state that is brought in, in pieces
    leader                  who leads: shoal.store.etcd.election
    turn                    somebody was beaten too often, and all others' commits wait while this is there

A commit is one etcd transaction: it compares the head with the revision that it was made on, and writes the head and
the objects. etcd refuses more than 128 operations at once, and requests of more than 1.5 MiB, unless it is started with
other limits, which a users' own is not. So a large transaction's changes are written as one compressed value beside the
head, which says so; that is the commit. They are then copied to their objects' keys, before anything else is committed:
by whoever committed them, or, should that one die over it, by the next who wants to commit. A whole state may be larger
than any request, so its pieces are written first; without the head that names them they mean nothing.
"""

import asyncio
import logging
import zlib
from collections.abc import AsyncGenerator, Awaitable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from uuid import uuid4

import msgspec

from shoal.aio.broadcast import Lagged
from shoal.errors import Conflict, Damaged, ShoalError, Unavailable, Uncertain
from shoal.store.backend import Behind, Change, Contents, Deposed, Fence, Transaction
from shoal.store.etcd.calls import GRANT, RANGE, REVOKE, TXN, created_at, delete, delete_all, end_of, get, put, valued
from shoal.store.etcd.client import Compacted, Etcd, Unanswered
from shoal.store.etcd.head import NONE, Head, is_at
from shoal.store.etcd.pb.rpc_pb2 import (
    Event,
    KeyValue,
    LeaseGrantRequest,
    LeaseRevokeRequest,
    RangeRequest,
    RequestOp,
    TxnRequest,
    TxnResponse,
    WatchCreateRequest,
    WatchResponse,
)

_log = logging.getLogger(__name__)

# Below etcd's own limits: 128 operations and 1.5 MiB a transaction.
MOST_OPERATIONS = 100
MOST_BYTES = 1 << 20
# Keys a question, while everything is read: a few MB, and a few milliseconds of the event loop's.
_PAGE = 1000
_PAUSE = 0.1
# A commit that comes so soon after one that had no answer has waited for its place behind that one, in seconds.
_BEHIND = 0.1
# How long a turn lasts at most, and how often who waits for its end looks.
_TURN_SECONDS = 3
_TURN_PAUSE = 0.02


class EtcdBackend:
    """What one manager has of the transactions that all of them share; closes the connection that it is given."""

    def __init__(self, *, etcd: Etcd, prefix: str) -> None:
        self._etcd = etcd
        self._state = f"{prefix}state/".encode()
        self._head = self._state + b"head"
        self._pack = self._state + b"pack"
        self._pieces = self._state + b"pack/"
        self._turn = f"{prefix}turn".encode()
        self.trouble = ""
        self._has_turn = False
        # etcd's own revision up to which everything was read.
        self._read = 0
        # The last question had no answer: then a commit is not sent before there is one. And when that was given up.
        self._silent: Unanswered | None = None
        self._given_up = 0.0

    async def load(self) -> Contents:
        while True:
            try:
                return await self._load()
            except Compacted:
                continue  # between two pages

    def _pieces_of(self, head: Head) -> bytes:
        return self._pieces + f"{head.id}/".encode()

    async def _load(self) -> Contents:
        head, objects, packed = NONE, {}, b""
        read, key = 0, self._state
        while True:
            wanted = RangeRequest(key=key, range_end=end_of(self._state), limit=_PAGE, revision=read)
            answer = await self._etcd.ask_patiently(RANGE, wanted)
            # All pages are of the revision that the first one is of.
            read = read or answer.header.revision
            for kv in answer.kvs:
                if kv.key == self._head:
                    head = Head.parse(kv.value)
                elif kv.key == self._pack or kv.key.startswith(self._pieces_of(head)):
                    packed += kv.value
                elif not kv.key.startswith(self._pieces):
                    change = self._change(kv)
                    objects[change.kind, change.key] = change
            if not answer.more:
                break
            key = answer.kvs[-1].key + b"\0"
        if head.packed:
            objects |= {(change.kind, change.key): change for change in await _unpacked(packed)}
        if head == NONE and objects:
            raise Damaged("etcd holds objects of a swarm without the head that says which state they are of")
        self._read = read
        return Contents(head.revision, [change for change in objects.values() if change.value is not None])

    def _change(self, kv: KeyValue, *, deleted: bool = False) -> Change:
        kind, _, key = kv.key[len(self._state) :].decode().partition("/")
        return Change(kind, key, None if deleted else kv.value)

    async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
        request = await self._request(transaction, fence)
        loop = asyncio.get_running_loop()
        if self._silent is not None:
            # What is not sent is not done: that can be said for certain.
            if loop.time() < self._given_up + _BEHIND:
                raise _failed(self._silent, doubt=False)
            await self._answered(self._etcd.ask_patiently(RANGE, RangeRequest(key=self._head)), doubt=False)
        deadline = loop.time() + self._etcd.patience
        doubt = False
        while True:
            try:
                answer = await self._etcd.ask(TXN, request)
            except Unanswered as error:
                self._silent = error
                doubt = doubt or error.begun
                if loop.time() > deadline:
                    self._given_up = loop.time()
                    raise _failed(error, doubt=doubt) from error
                await asyncio.sleep(_PAUSE)
                continue
            except ShoalError as error:
                # etcd's word on this attempt; an earlier one may have been done.
                raise (_uncertain(error) if doubt else error) from error
            self._silent = None
            if answer.succeeded:
                if self._is_large(transaction.changes):
                    await self._spread_for_now(transaction)
                return
            found = _head_in(answer)
            if found.revision != transaction.revision - 1:
                raise Behind(found.revision, doubt=doubt)
            if found.packed:
                await self._answered(self._unpack(found), doubt=doubt)
            elif answer.responses[1].response_range.kvs and not self._has_turn:
                await asyncio.sleep(_TURN_PAUSE)
            else:
                raise Deposed("this manager does not lead the swarm any more: nothing was changed")

    async def seed(self, contents: Contents) -> None:
        """Put the state of a swarm that was kept elsewhere into an etcd that has none: it goes on at its revision. Also
        when this is cut off it is there entirely or not at all.

        Raises Conflict where there is a state already, and :class:`~shoal.errors.Uncertain` where it cannot be said
        whether this one is there, or will be.
        """
        head = Head(contents.revision, uuid4().hex, packed=True)
        if not head.revision:
            return await self._seeded(head, [])
        packed = await _packed(contents.objects)
        for number, start in enumerate(range(0, len(packed), MOST_BYTES)):
            key = self._pieces_of(head) + f"{number:06}".encode()
            await self._seeded(head, [put(key, packed[start : start + MOST_BYTES])])
        await self._seeded(head, [put(self._head, head.value)])
        await self._spread_for_now(Transaction(head.revision, head.id, contents.objects))

    async def _seeded(self, head: Head, writes: list[RequestOp]) -> None:
        """Write what a seed consists of, unless there is a head already; asked until there is an answer."""
        request = TxnRequest(compare=is_at(self._head, 0), success=writes, failure=[get(self._head)])
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._etcd.patience
        doubt = False
        while True:
            try:
                answer = await self._etcd.ask(TXN, request)
                break
            except Unanswered as error:
                doubt = doubt or error.begun
                if loop.time() > deadline:
                    raise _failed(error, doubt=doubt) from error
                await asyncio.sleep(_PAUSE)
        if not answer.succeeded and (found := _head_in(answer)).id != head.id:
            raise Conflict(f"etcd holds a swarm's state already, of revision {found.revision}: nothing was changed")
        # What is told from here on is news.
        self._read = answer.header.revision

    async def erase(self) -> None:
        """Remove all of it, whoever goes on using it."""
        request = TxnRequest(success=[delete_all(self._state)])
        await self._etcd.ask_patiently(TXN, request)

    async def _answered(self, question: Awaitable[object], *, doubt: bool) -> None:
        """Await the answer to a question that a commit depends on."""
        try:
            await question
        except Unanswered as error:
            self._silent, self._given_up = error, asyncio.get_running_loop().time()
            raise _failed(error, doubt=doubt) from error

    async def _request(self, transaction: Transaction, fence: Fence | None) -> TxnRequest:
        compare = is_at(self._head, transaction.revision - 1)
        success: list[RequestOp] = []
        failure = [get(self._head), get(self._turn)]
        if not self._has_turn:
            compare.append(created_at(self._turn, 0))
        if fence is not None:
            compare.append(created_at(fence.key.encode(), fence.term))
        large = self._is_large(transaction.changes)
        success.append(put(self._head, Head(transaction.revision, transaction.id, packed=large).value))
        if large:
            success.append(put(self._pack, await _packed(transaction.changes)))
        else:
            success += [self._written(change) for change in transaction.changes]
        return TxnRequest(compare=compare, success=success, failure=failure)

    def _is_large(self, changes: list[Change]) -> bool:
        return len(changes) > MOST_OPERATIONS or sum(len(change.value or b"") for change in changes) > MOST_BYTES

    def _written(self, change: Change) -> RequestOp:
        key = self._state + f"{change.kind}/{change.key}".encode()
        return delete(key) if change.value is None else put(key, change.value)

    async def _spread_for_now(self, transaction: Transaction) -> None:
        """It is committed already: what fails here is done by the next who commits."""
        try:
            await self._spread(Head(transaction.revision, transaction.id, packed=True), transaction.changes)
        except ShoalError as error:
            _log.warning("the parts of transaction %d are left for the next one: %s", transaction.revision, error)

    async def _unpack(self, head: Head) -> None:
        """Do what a large transaction's own store has not done, or not yet."""
        pieces, end = self._pieces_of(head), end_of(self._pack)
        packed: list[bytes] = []
        read, key, more = 0, self._pack, True
        while more:
            # As they are at one moment.
            answer = await self._etcd.ask_patiently(RANGE, RangeRequest(key=key, range_end=end, limit=1, revision=read))
            read, more = read or answer.header.revision, answer.more
            for kv in answer.kvs:
                key = kv.key + b"\0"
                if kv.key == self._pack or kv.key.startswith(pieces):
                    packed.append(kv.value)
        if packed:
            await self._spread(head, await _unpacked(b"".join(packed)))

    async def _spread(self, head: Head, changes: list[Change]) -> None:
        """Copy a pack's changes to their objects' keys and drop it, unless another store has done so meanwhile."""
        portions = list(_portions(changes))
        for number, portion in enumerate(portions, 1):
            writes = [self._written(change) for change in portion]
            if number == len(portions):
                writes += [put(self._head, Head(head.revision, head.id).value), delete_all(self._pack)]
            request = TxnRequest(compare=[valued(self._head, head.value)], success=writes)
            if not (await self._etcd.ask_patiently(TXN, request)).succeeded:
                return

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        lease = 0
        try:
            lease = (await self._etcd.ask_patiently(GRANT, LeaseGrantRequest(TTL=_TURN_SECONDS))).ID
            mine = TxnRequest(compare=[created_at(self._turn, 0)], success=[put(self._turn, b"", lease=lease)])
            while not (await self._etcd.ask(TXN, mine)).succeeded:  # noqa: ASYNC110 (a turn is short)
                await asyncio.sleep(_TURN_PAUSE)
            self._has_turn = True
        except ShoalError as error:
            _log.info("a transaction goes on without a turn of its own: %s", error)
        try:
            yield
        finally:
            self._has_turn = False
            with suppress(ShoalError):  # the lease runs out by itself
                await self._etcd.ask(REVOKE, LeaseRevokeRequest(ID=lease))

    async def follow(self, revision: int) -> AsyncGenerator[Transaction, None]:
        since, told = self._read, ""
        while True:
            wanted = WatchCreateRequest(key=self._state, range_end=end_of(self._state), start_revision=since + 1)
            try:
                async with aclosing(self._etcd.watch(wanted)) as answers:
                    async for answer in answers:
                        await self._check(answer, since)
                        told = self.trouble = ""
                        for transaction in await self._transactions(answer.events):
                            if transaction.revision <= revision:
                                continue
                            if transaction.revision != revision + 1:
                                raise Lagged
                            revision = transaction.revision
                            yield transaction
                        if answer.events:
                            since = answer.events[-1].kv.mod_revision
            except Unanswered as error:
                if not told:
                    _log.warning("the other managers' changes are not heard of for now: %s", error)
                told = self.trouble = str(error)
                await asyncio.sleep(_PAUSE)

    async def _check(self, answer: WatchResponse, since: int) -> None:
        """Raises Lagged where a watch cannot be gone on with, Unanswered where it has to be begun anew."""
        if answer.compact_revision:
            raise Lagged
        if answer.canceled:
            raise Unanswered(answer.cancel_reason or "a watch was ended", begun=False)
        if answer.created and answer.header.revision < since:
            # A member that is behind the others will come to it; an etcd restored from a backup has another history.
            latest = await self._etcd.ask_patiently(RANGE, RangeRequest(key=self._head))
            if latest.header.revision < since:
                raise Lagged

    async def _transactions(self, events: Iterable[Event]) -> list[Transaction]:
        """Those that events are of: each head with what was written at the same moment. What was written without a head
        is of a pack, and known."""
        moments: dict[int, list[Event]] = {}
        for event in events:
            moments.setdefault(event.kv.mod_revision, []).append(event)
        return [found for moment in moments.values() if (found := await self._transaction(moment)) is not None]

    async def _transaction(self, events: list[Event]) -> Transaction | None:
        head: Head | None = None
        packed = b""
        changes: list[Change] = []
        for event in events:
            deleted = event.type == Event.EventType.DELETE
            if event.kv.key == self._head:
                if deleted:
                    raise Lagged  # somebody has removed all of it, or put an older state in its place
                head = Head.parse(event.kv.value)
            elif event.kv.key == self._pack:
                packed = event.kv.value
            elif not event.kv.key.startswith(self._pieces):
                changes.append(self._change(event.kv, deleted=deleted))
        if head is None:
            return None
        if head.packed and not packed:
            raise Lagged  # a whole state was brought in
        return Transaction(head.revision, head.id, await _unpacked(packed) if head.packed else changes)

    async def close(self) -> None:
        await self._etcd.close()


def _failed(error: Unanswered, *, doubt: bool) -> Unavailable:
    return _uncertain(error) if doubt else Unavailable(f"{error}, so nothing can be changed; what runs goes on")


def _uncertain(error: ShoalError) -> Uncertain:
    return Uncertain(f"{error}; whether this was done cannot be said: look before retrying")


def _head_in(answer: TxnResponse) -> Head:
    kvs = answer.responses[0].response_range.kvs
    return Head.parse(kvs[0].value) if kvs else NONE


def _portions(changes: list[Change]) -> Iterator[list[Change]]:
    """The changes in as many parts as etcd's limits ask for."""
    portion: list[Change] = []
    size = 0
    for change in changes:
        if portion and (len(portion) == MOST_OPERATIONS or size + len(change.value or b"") > MOST_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(change)
        size += len(change.value or b"")
    yield portion


async def _packed(changes: list[Change]) -> bytes:
    return await asyncio.to_thread(lambda: zlib.compress(msgspec.msgpack.encode(changes), 1))


async def _unpacked(value: bytes) -> list[Change]:
    try:
        return await asyncio.to_thread(lambda: msgspec.msgpack.decode(zlib.decompress(value), type=list[Change]))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Damaged(f"a large transaction in the swarm's state in etcd cannot be read: {error}") from error
