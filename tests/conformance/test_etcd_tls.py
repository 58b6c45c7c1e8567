"""A store on an etcd that asks for certificates, on TCP as a users' own."""

import asyncio
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.aio.clock import SystemClock
from shoal.errors import Unavailable
from shoal.objects.ids import TaskId
from shoal.objects.task import Task
from shoal.store.backends.etcd import EtcdBackend
from shoal.store.etcd.address import TLS, Address
from shoal.store.etcd.client import Etcd
from shoal.store.store import Store


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def issue(folder: Path, name: str, *, by: str) -> None:
    """A key and a certificate that is good for 127.0.0.1; ``by`` itself for a root."""
    signed = ["-CA", f"{by}.pem", "-CAkey", f"{by}.key"] if by != name else []
    openssl(
        folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *signed,
        *([] if by == name else ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]),
    )  # fmt: skip


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    for name, by in (("root", "root"), ("server", "root"), ("client", "root"), ("stranger", "stranger")):
        issue(tmp_path, name, by=by)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        ["etcd", "--data-dir", "data", "--listen-client-urls", f"https://127.0.0.1:{port}", "--client-cert-auth",
         "--advertise-client-urls", f"https://127.0.0.1:{port}", "--trusted-ca-file", "root.pem",
         "--cert-file", "server.pem", "--key-file", "server.key", "--listen-peer-urls", "unix://peer:1",
         "--initial-advertise-peer-urls", "unix://peer:1", "--initial-cluster", "default=unix://peer:1"],
        cwd=tmp_path, stdout=log, stderr=log,
    )  # fmt: skip
    log.close()
    yield f"etcd://127.0.0.1:{port}/test"
    process.kill()
    process.wait()


def test_who_shows_a_certificate_is_let_in_and_nobody_else(url: str, tmp_path: Path) -> None:
    async def opened(tls: TLS | None, patience: float) -> Store:
        address = Address.parse(url)
        etcd = Etcd(address, tls=tls, patience=patience)
        return await Store.open(backend=EtcdBackend(etcd=etcd, prefix=address.prefix), clock=SystemClock())

    async def flow() -> None:
        root = tmp_path / "root.pem"
        store = await opened(TLS(root, tmp_path / "client.pem", tmp_path / "client.key"), 30)
        await store.update(lambda tx: tx.create(Task(id=TaskId("a"))))
        await store.close()
        for refused in (None, TLS(root, tmp_path / "stranger.pem", tmp_path / "stranger.key")):
            with pytest.raises(Unavailable):
                await opened(refused, 0.3)

    asyncio.run(asyncio.wait_for(flow(), 60))
