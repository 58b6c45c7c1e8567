"""Names served inside throwaway namespaces, by a keeper that is killed and comes back."""

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from uuid import uuid4

import pytest

from shoal.aio.clock import SystemClock
from shoal.errors import NotFound, Unavailable
from shoal.keeper.supervisor import KeeperSupervisor
from shoal.kernel import netns
from shoal.network.dns.message import write_name
from shoal.wire.keeper import NetworkRecords, Record, Sandbox, Zone

pytestmark = pytest.mark.root


@contextmanager
def namespace() -> Iterator[Path]:
    name = f"test-keeper-{uuid4().hex[:8]}"
    netns.create(name)
    path = netns.BASE / name
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield path
    finally:
        netns.delete(name)


def resolve(path: Path, name: str) -> str:
    """The last address of the answer that a process in the namespace gets."""

    def ask() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.connect(("127.0.0.11", 53))
            header = struct.pack(">HHHHHH", 9, 0x0100, 1, 0, 0, 0)
            asking.send(header + write_name(name.encode()) + struct.pack(">HH", 1, 1))
            return asking.recv(512)

    answer = netns.run_in(path, ask)
    return str(ip_address(answer[-4:])) if answer[3] & 0xF == 0 else ""


def records(address: str) -> NetworkRecords:
    return NetworkRecords(records=(Record("web", (address,)),))


def test_each_sandbox_knows_its_own_networks_and_goes_on_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))

    async def run(one: Path, two: Path) -> None:
        keeper = KeeperSupervisor(socket=tmp_path / "keeper.sock", state=tmp_path / "state", clock=SystemClock())
        client = keeper.client
        try:
            pid = (await keeper.start()).pid
            await client.networks({"n1": records("10.0.1.2"), "n2": records("10.0.2.2")})
            for box, path, network in (("one", one, "n1"), ("two", two, "n2")):
                ports = await client.serve(Sandbox(box, str(path), Zone(networks=(network,))))
                assert (ports.udp, ports.tcp) == (53, 53)
            ask = asyncio.to_thread
            assert (await ask(resolve, one, "web"), await ask(resolve, two, "web")) == ("10.0.1.2", "10.0.2.2")
            assert await ask(resolve, one, "nobody") == ""
            os.kill(pid, 9)
            while (await client.hello()).pid == pid:
                pass
            assert (await ask(resolve, one, "web"), await ask(resolve, two, "web")) == ("10.0.1.2", "10.0.2.2")
            await client.network_records("n1", records("10.0.1.9"))
            await client.update("two", Zone(networks=("n1",)))
            assert (await ask(resolve, one, "web"), await ask(resolve, two, "web")) == ("10.0.1.9", "10.0.1.9")
            await client.stop("one")
            with pytest.raises(OSError):
                await ask(resolve, one, "web")
            await client.stop("two")
        finally:
            await keeper.stop()

    with namespace() as one, namespace() as two:
        asyncio.run(run(one, two))


def test_ports_are_chosen_once_and_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))

    async def run(path: Path) -> None:
        keeper = KeeperSupervisor(socket=tmp_path / "keeper.sock", state=tmp_path / "state", clock=SystemClock())
        try:
            pid = (await keeper.start()).pid
            sandbox = Sandbox("box", str(path), Zone(), udp_port=0, tcp_port=0)
            ports = await keeper.client.serve(sandbox)
            assert ports.udp and ports.tcp
            os.kill(pid, 9)
            assert await keeper.client.serve(sandbox) == ports
            taken = Sandbox("other", str(path), Zone(), udp_port=0, tcp_port=ports.tcp)
            with pytest.raises(Unavailable, match="in use"):
                await keeper.client.serve(taken)
            with pytest.raises(NotFound):
                await keeper.client.serve(Sandbox("nowhere", str(tmp_path / "none"), Zone()))
        finally:
            await keeper.stop()

    with namespace() as path:
        asyncio.run(run(path))
