"""etcds of our own, really: members that come, go, die and are found again, with TLS between them."""

import asyncio
import os
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest

from shoal.aio.clock import SystemClock
from shoal.aio.process import Process
from shoal.errors import Conflict, FailedPrecondition, NotFound, Unavailable
from shoal.objects.ids import ClusterId, NodeId
from shoal.pki import files
from shoal.pki.authority import RootCA, new_key, request
from shoal.pki.identity import MANAGER, MANAGER_NAME, WORKER, NodeIdentity
from shoal.store.etcd.address import TLS
from shoal.store.etcd.calls import RANGE, TXN, put
from shoal.store.etcd.client import Etcd
from shoal.store.etcd.members import Members
from shoal.store.etcd.pb.rpc_pb2 import RangeRequest, TxnRequest
from shoal.store.etcd.server import EtcdServer, Removed, peer_url_of

T = TypeVar("T")
NOW = datetime.now(UTC)


def run(flow: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(flow, 60))


class Machines:
    """Places for etcds, in a folder whose path is short enough for sockets', and what was started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = RootCA.create(NOW)
        self.stack = AsyncExitStack()

    def certificates(self, name: str, role: str = MANAGER) -> TLS:
        folder = self.folder / name / "certificates"
        if not folder.exists():
            key = new_key()
            identity = NodeIdentity(NodeId(name), role, ClusterId("c"))
            certificate = self.root.sign(request(key), identity, NOW, addresses=["127.0.0.1"])
            files.save(folder, files.NodeFiles(self.root.certificate, certificate, key))
        return TLS(folder / files.ROOT_FILE, folder / files.CERTIFICATE_FILE, folder / files.KEY_FILE)

    def server(self, name: str, *, port: int | None = None, binary: str = "etcd") -> EtcdServer:
        """Ended with the test."""
        server = EtcdServer(
            name=name,
            data=self.folder / name / "data",
            state=self.folder / name / "state",
            listen="127.0.0.1",
            advertise="127.0.0.1",
            port=port or free_port(),
            certificates=self.certificates(name),
            peers=MANAGER_NAME,
            clock=SystemClock(),
            binary=binary,
            patience=1,
        )
        self.stack.push_async_callback(server.stop)
        return server

    def connected(self, server: EtcdServer, *, patience: float = 20) -> Etcd:
        """Closed with the test."""
        etcd = Etcd(server.address, patience=patience)
        self.stack.push_async_callback(etcd.close)
        return etcd

    async def joined(self, first: EtcdServer, name: str) -> EtcdServer:
        """A member that has a vote, and knows it."""
        server, members = self.server(name), Members(self.connected(first))
        learner = await within_reason(lambda: members.add_learner(server.peer_url))
        assert (learner.name, learner.peer_url, learner.is_learner) == ("", server.peer_url, True)
        others = {f"m{member.id}": member.peer_url for member in await members.list() if member.id != learner.id}
        await server.start(cluster=others)
        await within_reason(lambda: members.promote(learner.id))
        await until_it_knows(Members(self.connected(server)))
        return server


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def machines() -> AsyncGenerator[Machines, None]:
    with TemporaryDirectory(prefix="shoal-") as folder:
        made = Machines(Path(folder))
        async with made.stack:
            yield made


async def within_reason(wanted: Callable[[], Awaitable[T]]) -> T:
    """What is refused only for now."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await wanted()
            except Unavailable:
                await asyncio.sleep(0.05)


async def until_it_knows(promoted: Members) -> None:
    """The leader decides that a member has a vote; it hears of that with what comes next."""
    async with asyncio.timeout(20):
        while (await promoted.status()).is_learner:  # noqa: ASYNC110 (etcd tells nobody)
            await asyncio.sleep(0.01)


async def write(etcd: Etcd, key: str) -> None:
    await etcd.ask_patiently(TXN, TxnRequest(success=[put(key.encode(), b"value")]))


async def keys(etcd: Etcd) -> list[str]:
    answer = await etcd.ask_patiently(RANGE, RangeRequest(key=b"\0", range_end=b"\0"))
    return sorted(kv.key.decode() for kv in answer.kvs)


async def killed(server: EtcdServer) -> None:
    """As a power cut, and looked after by nobody."""
    assert server.pid is not None
    process = Process.open(server.pid)
    await server.detach()
    process.signal(signal.SIGKILL)
    await process.ended()
    process.close()


def command(pid: int | None) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def environment(pid: int) -> set[str]:
    return {line.partition("=")[0] for line in Path(f"/proc/{pid}/environ").read_text().split("\0")}


def test_one_member_starts_is_killed_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://192.0.2.1:3128")
    monkeypatch.setenv("ETCD_DATA_DIR", "/nonexistent")

    async def flow() -> None:
        async with machines() as here:
            server = here.server("one")
            await server.start()
            etcd = here.connected(server)
            await write(etcd, "before")
            pid = server.pid
            assert pid is not None
            assert command(pid)[0] == "etcd"
            assert os.readlink(f"/proc/{pid}/cwd") == str(server.state)
            assert not {"https_proxy", "ETCD_DATA_DIR"} & environment(pid)
            assert {path.stat().st_mode & 0o777 for path in (server.data, server.state)} == {0o700}
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(20):
                while server.pid in (pid, None):  # noqa: ASYNC110 (nobody is told)
                    await asyncio.sleep(0.01)
            assert await keys(etcd) == ["before"]
            status = await Members(etcd).status()
            assert (status.leader, status.is_learner, status.errors) == (status.id, False, ())
            assert [m.peer_url for m in await Members(etcd).list()] == [server.peer_url]
            await server.destroy()
            assert not server.data.exists()

    run(flow())


def test_it_starts_again_over_the_largest_transaction_that_it_takes() -> None:
    async def flow() -> None:
        async with machines() as here:
            server = here.server("one")
            await server.start()
            etcd = here.connected(server)
            await etcd.ask_patiently(TXN, TxnRequest(success=[put(b"large", bytes((8 << 20) - 200))]))
            with pytest.raises(FailedPrecondition):
                await etcd.ask_patiently(TXN, TxnRequest(success=[put(b"larger", bytes(8 << 20))]))
            await killed(server)
            await server.start()
            assert await keys(here.connected(server)) == ["large"]

    run(flow())


def test_the_next_one_finds_what_was_left_running_unless_it_would_be_started_otherwise() -> None:
    async def flow() -> None:
        async with machines() as here:
            first = here.server("one")
            await first.start()
            pid = first.pid
            port = int(first.peer_url.rpartition(":")[2])
            await first.detach()
            second = here.server("one", port=port)
            await second.start(cluster={"other": "https://192.0.2.1:1"})
            assert second.pid == pid
            await second.detach()
            third = here.server("one")
            await third.start()
            assert third.pid not in (pid, None)

    run(flow())


def test_three_members_lose_one_and_exclude_it() -> None:
    async def flow() -> None:
        async with machines() as here:
            first = here.server("one")
            await first.start()
            await write(here.connected(first), "a")
            second = await here.joined(first, "two")
            await write(here.connected(second), "b")
            third = await here.joined(second, "three")
            members = Members(here.connected(second))
            found = {member.name: member for member in await members.list()}
            assert sorted(found) == ["one", "three", "two"]
            assert not any(member.is_learner for member in found.values())
            await killed(first)
            await write(here.connected(second), "c")
            assert await keys(here.connected(third)) == ["a", "b", "c"]
            await within_reason(lambda: members.remove(found["one"].id))
            assert sorted(member.name for member in await members.list()) == ["three", "two"]
            with pytest.raises(NotFound):
                await members.remove(found["one"].id)
            with pytest.raises(Conflict):
                await members.promote(found["two"].id)
            assert not await second.removed()
            # The excluded one hears of it as soon as it is back, and comes in again as a new one only.
            with suppress(Removed):
                await first.start()
            async with asyncio.timeout(20):
                while not await first.removed():  # noqa: ASYNC110 (it is read from the log)
                    await asyncio.sleep(0.01)
            await first.destroy()
            assert not await first.removed()

    run(flow())


def test_who_may_become_a_member() -> None:
    async def flow() -> None:
        async with machines() as here:
            first = here.server("one")
            await first.start()
            members = Members(here.connected(first))
            learner = await within_reason(lambda: members.add_learner("https://127.0.0.1:1"))
            with pytest.raises(Conflict, match="Peer URLs|member ID"):
                await members.add_learner("https://127.0.0.1:1")
            with pytest.raises(Conflict, match="too many learner"):
                await members.add_learner("https://127.0.0.1:2")
            with pytest.raises(Unavailable, match="in sync"):
                await members.promote(learner.id)
            await members.remove(learner.id)
            with pytest.raises(NotFound):
                await members.promote(learner.id)

    run(flow())


def test_the_survivor_of_two_goes_on_alone_with_all_data() -> None:
    async def flow() -> None:
        async with machines() as here:
            first = here.server("one")
            await first.start()
            await write(here.connected(first), "a")
            second = await here.joined(first, "two")
            await killed(first)
            # It is up, also when it is started anew; it cannot be written to.
            await second.stop()
            await second.start()
            assert second.pid is not None
            with pytest.raises(Unavailable):
                await write(here.connected(second, patience=0), "lost")
            await second.start(force_new=True)
            etcd = here.connected(second)
            await write(etcd, "b")
            assert "--force-new-cluster" not in command(second.pid)
            await killed(second)
            await second.start()
            await write(etcd, "c")
            assert await keys(etcd) == ["a", "b", "c"]
            assert [member.name for member in await Members(etcd).list()] == ["two"]

    run(flow())


async def asked_as(certificates: TLS, server: EtcdServer) -> bytes:
    """What a peer that has these certificates hears of a member."""
    context = ssl.create_default_context(cafile=certificates.authority)
    context.load_cert_chain(certificates.certificate, certificates.key)
    port = int(server.peer_url.rpartition(":")[2])
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            writer.write(b"GET /members HTTP/1.0\r\n\r\n")
            return await reader.readline()
        finally:
            writer.close()


def test_a_worker_is_no_peer() -> None:
    async def flow() -> None:
        async with machines() as here:
            server = here.server("one")
            await server.start()
            assert b"200" in await asked_as(here.certificates("another"), server)
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asked_as(here.certificates("worker", WORKER), server)

    run(flow())


def test_members_change_the_root_that_they_trust_one_after_the_other() -> None:
    async def flow() -> None:
        async with machines() as here:
            first = here.server("one")
            await first.start()
            servers = [first, await here.joined(first, "two"), await here.joined(first, "three")]
            etcds = [here.connected(server) for server in servers]
            await write(etcds[0], "before")
            new = RootCA.create(NOW)
            both = here.root.certificate + new.certificate
            for roots in (both, new.certificate):
                for number, server in enumerate(servers):
                    pid = server.pid
                    await server.trust(roots)
                    assert server.trusts == roots and server.pid not in (None, pid)
                    await write(etcds[number], f"{len(roots)}-{number}")
                if roots == both:
                    here.root = new
                    for server in servers:
                        shutil.rmtree(here.folder / server.name / "certificates")
                        here.certificates(server.name)
            # What runs goes by the authority that the next start finds.
            await servers[2].detach()
            again = here.server("three", port=int(servers[2].peer_url.rpartition(":")[2]))
            await again.start()
            assert again.trusts == new.certificate
            assert len(list(again.state.glob("authority-*"))) == 1
            assert len(await keys(etcds[1])) == 7

    run(flow())


def test_the_lead_is_handed_over_where_there_is_somebody_to_take_it() -> None:
    async def flow() -> None:
        async with machines() as here:
            first = here.server("one")
            await first.start()
            alone = Members(here.connected(first))
            await alone.hand_over()
            second = await here.joined(first, "two")
            other = Members(here.connected(second))
            assert (await alone.status()).leader == (await alone.status()).id
            await other.hand_over()  # which does not lead
            await alone.hand_over()
            assert (await other.status()).leader == (await other.status()).id
            assert (await alone.status()).leader != (await alone.status()).id

    run(flow())


def test_why_it_does_not_start() -> None:
    async def flow() -> None:
        async with machines() as here:
            with pytest.raises(Unavailable, match="nosuch in PATH.*apt-get install etcd-server"):
                await here.server("one", binary="nosuch").start()
            server = here.server("one")
            here.certificates("one").key.write_text("none")
            with pytest.raises(Unavailable, match="did not start.*PEM"):
                await server.start()
            assert server.pid is None

    run(flow())


def test_a_peer_url() -> None:
    assert peer_url_of("192.0.2.1", 2380) == "https://192.0.2.1:2380"
    assert peer_url_of("2001:db8::1", 2380) == "https://[2001:db8::1]:2380"


def test_why_it_does_not_start_is_said() -> None:
    async def flow() -> None:
        async with machines() as here:
            server = here.server("one")
            address = server.peer_url.removeprefix("https://").rpartition(":")
            with socket.socket() as other:
                other.bind((address[0], int(address[2])))
                other.listen()
                with pytest.raises(
                    Unavailable, match=r"etcd did not start: listen tcp .*address already in use; its log"
                ):
                    await server.start()
            await server.start()

    run(flow())
