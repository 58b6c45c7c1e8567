"""A throwaway etcd: a real one, with its files and unix sockets in a folder of its own."""

import asyncio
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shoal.errors import Unavailable
from shoal.store.etcd.address import Address
from shoal.store.etcd.calls import RANGE
from shoal.store.etcd.client import Etcd
from shoal.store.etcd.pb.rpc_pb2 import CompactionRequest, CompactionResponse, RangeRequest
from shoal.wire.rpc import Unary

_COMPACT = Unary("etcdserverpb.KV/Compact", CompactionRequest, CompactionResponse)


class EtcdServer:
    """One member of several: ``peers`` are all members' names. It can be killed, frozen and started again."""

    def __init__(self, root: Path, name: str, peers: tuple[str, ...], flags: tuple[str, ...]) -> None:
        self._root = root
        self._flags = flags
        self._name = name
        self._peers = peers
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """For gRPC."""
        return f"unix:{self._root}/{self._name}:1"

    def start(self) -> None:
        """Start it, again if need be; it answers a moment later."""
        # etcd takes unix sockets only with the look of host:port, and makes them where it runs.
        url, client = f"unix://{self._name}:2", f"unix://{self._name}:1"
        cluster = ",".join(f"{name}=unix://{name}:2" for name in self._peers)
        for socket in (f"{self._name}:1", f"{self._name}:2"):
            (self._root / socket).unlink(missing_ok=True)
        with (self._root / f"{self._name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["etcd", "--name", self._name, "--data-dir", f"{self._name}.data",
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", url, "--initial-advertise-peer-urls", url, "--initial-cluster", cluster,
                 *self._flags],
                cwd=self._root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        """As a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It is there, and says nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def etcd_servers(number: int = 1, flags: tuple[str, ...] = ()) -> Iterator[list[EtcdServer]]:
    """That many members of one etcd, which answer; with etcd's own limits unless ``flags`` say otherwise."""
    root = Path(tempfile.mkdtemp(prefix="shoal-etcd-"))
    names = tuple(f"m{index}" for index in range(number))
    servers = [EtcdServer(root, name, names, flags) for name in names]
    try:
        for server in servers:
            server.start()
        asyncio.run(_answering(servers))
        yield servers
    finally:
        for server in servers:
            server.kill()
        shutil.rmtree(root)


async def _answering(servers: list[EtcdServer]) -> None:
    for server in servers:
        etcd = Etcd(Address((server.endpoint,)))
        async with asyncio.timeout(60):
            while True:
                with suppress(Unavailable):
                    await etcd.ask(RANGE, RangeRequest(key=b"x"))
                    break
                await asyncio.sleep(0.02)
        await etcd.close()


async def compact(server: EtcdServer) -> None:
    """Have etcd forget all that is past."""
    etcd = Etcd(Address((server.endpoint,)))
    now = (await etcd.ask_patiently(RANGE, RangeRequest(key=b"x"))).header.revision
    await etcd.ask_patiently(_COMPACT, CompactionRequest(revision=now, physical=True))
    await etcd.close()
