"""Where a manager has the swarm's state: in a file, in an etcd that shoald looks after, or in one of its users' own."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from shoal.agent import joining
from shoal.aio.clock import Clock
from shoal.daemon import membership
from shoal.daemon.addresses import split
from shoal.daemon.membership import ETCD, EXTERNAL, Membership
from shoal.durable.objectfile import mark_of
from shoal.errors import Conflict, Damaged, FailedPrecondition, Forbidden, Unavailable
from shoal.manager.seats import ALONE, Quorum
from shoal.objects.defaults import PEER_OFFSET
from shoal.pki.files import CERTIFICATE_FILE, KEY_FILE, ROOT_FILE
from shoal.pki.identity import MANAGER_NAME
from shoal.store.backends.etcd import EtcdBackend
from shoal.store.backends.sqlite import SQLiteBackend
from shoal.store.etcd.address import TLS, Address
from shoal.store.etcd.calls import RANGE
from shoal.store.etcd.client import Etcd
from shoal.store.etcd.election import EtcdElection
from shoal.store.etcd.members import Member, Members
from shoal.store.etcd.pb.rpc_pb2 import RangeRequest
from shoal.store.etcd.server import EtcdServer, check_installed, peer_url_of
from shoal.store.store import Store

_log = logging.getLogger(__name__)
# Between two looks whether this node is among the quorum's members, and for how long, in seconds.
_LOOK, _INVITATION = 0.2, 15.0


@dataclass(frozen=True)
class OwnEtcd:
    """An etcd that the users run themselves (``--store``)."""

    address: Address
    tls: TLS | None = None


class _Seats(Members):
    """The quorum's seats as a manager thinks of them (:class:`shoal.manager.seats.Seats`)."""

    def __init__(self, etcd: Etcd) -> None:
        super().__init__(etcd)
        self._connection = etcd

    def url_of(self, advertise: str) -> str:
        """Where the member of a manager is that nodes reach at ``address:port``."""
        return _peer_url(advertise)

    async def list(self) -> list[Member]:
        """All members, as the quorum knows them: who is not among them has no seat for certain."""
        # The member that is asked is as far as the others once it has answered a question that takes a quorum.
        await self._connection.ask_patiently(RANGE, RangeRequest(key=b"members"))
        return await super().list()


class StatePlace:
    """One manager's; ``managers`` are those that may say who has a seat, ``own`` the users' etcd, if there is one."""

    def __init__(
        self,
        *,
        folder: Path,
        data_root: Path,
        state: Path,
        certificates: Path,
        own: OwnEtcd | None,
        managers: Callable[[], Sequence[str]],
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._data_root = data_root
        self._state = state
        self._certificates = certificates
        self._own = own
        self._managers = managers
        self._clock = clock
        self._etcd: EtcdServer | None = None
        self.starting = asyncio.Lock()
        """Of whoever starts etcd, or changes what it is to trust."""
        self._connections: list[Etcd] = []

    @property
    def kind(self) -> str:
        """Where a manager that is made here shares the state."""
        return ETCD if self._own is None else EXTERNAL

    @property
    def has_data(self) -> bool:
        """Whether there is something here of a state that is shared."""
        return (self._folder / ETCD / "member").exists()

    def trouble(self, listen: str, advertise: str) -> str:
        """Why no manager at these addresses could share the state; empty where there is no reason. Blocks."""
        if self._own is not None:
            return ""
        try:
            check_installed()
        except Unavailable as error:
            return str(error)
        return _taken(split(listen, 0)[0], split(advertise, 0)[1] + PEER_OFFSET)

    def check_more(self, member: Membership, kind: str | None) -> None:
        """Raise FailedPrecondition where the state could not be shared with another manager, whose :attr:`kind` this
        is, where that is known."""
        mine = member.store or self.kind
        if kind not in (None, mine):
            external = "as here" if mine == EXTERNAL else "which this manager is not"
            raise FailedPrecondition(
                "managers share the swarm's state in one place: "
                f"either all are started with --store, {external}, or none"
            )
        if not member.store and (trouble := self.trouble(member.listen, member.advertise)):
            raise FailedPrecondition(f"this manager cannot share the swarm's state: {trouble}")

    async def open(self, member: Membership, clock: Clock) -> tuple[Store, Quorum]:
        """The state, and whom it is shared with. Raises ShoalError; Damaged for what will not be better later."""
        database = self._folder / membership.DATABASE
        try:
            if member.store == EXTERNAL:
                backend, quorum = self._connected_to_users(member)
                return await Store.open(backend=backend, clock=clock), quorum
            if member.store == ETCD:
                found = await self._shared(member, clock)
                # Of a move that came to its end.
                await asyncio.to_thread(_remove_database, database)
                return found
        except BaseException:
            await self.disconnect()
            raise
        if not database.exists():
            raise Damaged(f"{database} is missing, which holds the swarm's state")
        if (self._folder / ETCD).exists():
            # Of a move that did not come to its end.
            await self._server(member).destroy()
        return await Store.open(backend=SQLiteBackend(database, root=self._data_root), clock=clock), ALONE

    async def found(self, fresh: Path, clock: Clock) -> Store:
        """A store for a new swarm whose folder is made at ``fresh``. Raises Conflict where the users' etcd has one."""
        if self._own is None:
            backend = SQLiteBackend(fresh / membership.DATABASE, root=self._data_root)
            return await Store.open(backend=backend, clock=clock)
        etcd = EtcdBackend(etcd=Etcd(self._own.address, tls=self._own.tls), prefix=self._own.address.prefix)
        store = await Store.open(backend=etcd, clock=clock)
        if store.revision:
            await store.close()
            raise Conflict(
                f"etcd holds a swarm's state under {self._own.address.prefix} already: join that swarm, or name "
                "another prefix (--store etcd://HOST:PORT/PREFIX)"
            )
        return store

    async def share(self, member: Membership) -> tuple[EtcdBackend, Quorum]:
        """An etcd of this manager's alone, with nothing in it yet; in vain until :meth:`settle`."""
        etcd = self._server(member)
        await etcd.destroy()  # of an earlier attempt
        await etcd.start()
        self._etcd = etcd
        return self._connected(etcd.address, member)

    async def settle(self, member: Membership) -> Membership:
        """From here on the state is in etcd; what is on disk of it elsewhere goes at the next start."""
        member = replace(member, store=ETCD)
        await asyncio.to_thread(membership.write, self._folder, member)
        return member

    async def unshare(self, member: Membership) -> None:
        """The state stays where it was."""
        await self.disconnect()
        # What may be on disk by now says that it is in etcd, so that has to be taken back first.
        await asyncio.to_thread(membership.write, self._folder, member)
        await self.destroy(member)

    async def drop_file(self) -> None:
        """Remove the file that the state was in."""
        await asyncio.to_thread(_remove_database, self._folder / membership.DATABASE)

    async def be_alone(self, member: Membership) -> None:
        """Make this manager's part of the state a whole of its own, whoever had a seat in the quorum; at the address
        that ``member`` has, where that is another one now."""
        if member.store != ETCD:
            return
        etcd = self._server(member)
        await etcd.start(force_new=True)
        connection = Etcd(etcd.address)
        try:
            for seat in await Members(connection).list():
                if seat.peer_url != etcd.peer_url:
                    await Members(connection).move(seat.id, etcd.peer_url)
        finally:
            await connection.close()
            await etcd.detach()

    async def trust(self, roots: bytes, keep: Callable[[], Awaitable[None]]) -> None:
        """Have this manager's etcd trust these roots (PEM), and then ``keep`` them. Raises ShoalError."""
        async with self.starting:
            if (etcd := self._etcd) is not None and (etcd.pid is None or etcd.trusts != roots):
                _log.info("etcd is started again, to trust the swarm's present root certificates")
                await etcd.trust(roots)
            await keep()

    async def is_seatless(self, member: Membership) -> bool:
        """Whether this node has no seat in the quorum, as the other managers say. Raises Unavailable when none does."""
        if member.store != ETCD:
            return True
        try:
            name = (await self._members(member)).get(_peer_url(member.advertise))
        except Forbidden:  # what it says to who is no manager any more
            return True
        return name not in ("", member.node_id)

    async def was_removed(self) -> bool:
        """Whether the other managers have taken this one's seat in the quorum, as far as it has heard."""
        return self._etcd is not None and self._etcd.pid is None and await self._etcd.removed()

    async def disconnect(self) -> None:
        """End the connections; etcd goes on."""
        for connection in self._connections:
            await connection.close()
        self._connections.clear()

    async def leave(self) -> None:
        """Let go of etcd, which goes on."""
        await self.disconnect()
        if self._etcd is not None:
            await self._etcd.detach()
            self._etcd = None

    async def destroy(self, member: Membership) -> None:
        """End this manager's etcd, and remove what it has of the state."""
        await self.disconnect()
        if (etcd := self._etcd) is not None or (self._folder / ETCD).exists():
            self._etcd = None
            await (etcd or self._server(member)).destroy()

    async def erase(self, member: Membership) -> None:
        """Remove the state from the users' etcd: there is no swarm any more."""
        if member.store == EXTERNAL:
            backend, _ = self._connected_to_users(member)
            try:
                await backend.erase()
            finally:
                await backend.close()
                await self.disconnect()

    async def _shared(self, member: Membership, clock: Clock) -> tuple[Store, Quorum]:
        etcd = self._etcd = self._etcd or self._server(member)
        try:
            cluster = None if self.has_data or etcd.pid is not None else await self._invited(member)
            async with self.starting:
                if etcd.pid is None:
                    await etcd.start(cluster=cluster)
            backend, quorum = self._connected(etcd.address, member)
            return await Store.open(backend=backend, clock=clock), quorum
        except Unavailable:
            if await etcd.removed():
                _log.warning("the other managers have taken this one's seat in the quorum: it asks for a new one")
                await self.destroy(member)
            raise

    def _connected(
        self, address: Address, member: Membership, tls: TLS | None = None, *, has_seats: bool = True
    ) -> tuple[EtcdBackend, Quorum]:
        """A backend, and what comes with it; the backend's connection is its own."""
        etcd = Etcd(address, tls=tls)
        self._connections.append(etcd)
        election = EtcdElection(etcd=etcd, prefix=address.prefix, candidate=member.node_id, clock=self._clock)
        quorum = Quorum(election, _Seats(etcd) if has_seats else None)
        return EtcdBackend(etcd=Etcd(address, tls=tls), prefix=address.prefix), quorum

    def _connected_to_users(self, member: Membership) -> tuple[EtcdBackend, Quorum]:
        if self._own is None:
            raise FailedPrecondition(
                "the swarm's state is in an etcd of its users' own: start shoald with --store, as it was when this "
                "node became a manager"
            )
        return self._connected(self._own.address, member, self._own.tls, has_seats=False)

    def _server(self, member: Membership) -> EtcdServer:
        host, port = split(member.advertise, 0)
        place = self._certificates
        return EtcdServer(
            name=member.node_id,
            data=self._folder / ETCD,
            state=self._state,
            listen=split(member.listen, 0)[0],
            advertise=host,
            port=port + PEER_OFFSET,
            certificates=TLS(place / ROOT_FILE, place / CERTIFICATE_FILE, place / KEY_FILE),
            peers=MANAGER_NAME,
            clock=self._clock,
        )

    async def _members(self, member: Membership) -> dict[str, str]:
        """The quorum's members, by peer URL, as another manager says. Raises ShoalError."""
        others = [address for address in self._managers() if address != member.advertise]
        return await joining.quorum(others, self._certificates)

    async def _invited(self, member: Membership) -> dict[str, str]:
        """The quorum's members, by name, once this node is one of them. Raises ShoalError when that takes too long."""
        own = _peer_url(member.advertise)
        deadline = self._clock.monotonic() + _INVITATION
        while True:
            members = await self._members(member)
            name = members.get(own)
            if name == "":
                # Others' names do not matter to etcd, only that there is one each.
                return {f"other-{number}": url for number, url in enumerate(members) if url != own}
            if self._clock.monotonic() > deadline:
                if name:
                    # It must not go on as the one that it was without knowing what it has voted for.
                    raise Unavailable(
                        f"the seat in the quorum at {own} is still that of node {name}, whose part of the state is not "
                        f"here: on another manager, docker node demote {name} (and promote it again, if it is this one)"
                    )
                raise Unavailable(
                    "the other managers have no seat in the quorum for this one, so far; they give none while one of "
                    "them is down: demote that one (docker node demote)"
                )
            await self._clock.sleep(_LOOK)


def _peer_url(advertise: str) -> str:
    host, port = split(advertise, 0)
    return peer_url_of(host, port + PEER_OFFSET)


def _remove_database(database: Path) -> None:
    beside = [database.with_name(f"{database.name}-{end}") for end in ("wal", "shm")]
    for path in (database, mark_of(database), *beside):
        path.unlink(missing_ok=True)


def _taken(host: str, port: int) -> str:
    """Why nobody can listen there, empty where one can."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return (
            f"etcd would listen at {host}:{port}: {(error.strerror or str(error)).lower()}; if that is etcd's own "
            "service, it is not needed: systemctl disable --now etcd"
        )
    return ""
