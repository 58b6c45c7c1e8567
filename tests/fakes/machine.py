"""A machine of a test's own: a network and a mount namespace that the test's thread moves into, with an empty
/run/netns. Whatever is left in it goes with it, and nobody else sees it."""

import asyncio
import ctypes
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from shoal.kernel import netns

T = TypeVar("T")

_CLONE_NEWNS, _CLONE_NEWNET = 0x20000, 0x40000000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]


@contextmanager
def own_machine() -> Iterator[None]:
    """Move the main thread, and all threads it starts, to a new machine with ``lo`` up; and back."""
    assert threading.current_thread() is threading.main_thread()
    netns.BASE.mkdir(exist_ok=True)
    here = Path.cwd()
    ways_back = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "mnt")]
    _check(_libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET))
    try:
        _check(_libc.mount(b"none", b"/", b"none", _MS_REC | _MS_PRIVATE, None))
        _check(_libc.mount(b"none", bytes(netns.BASE), b"tmpfs", 0, None))
        ip("link set lo up")
        yield
    finally:
        for way in ways_back:
            _go_back(way)
            os.close(way)
        os.chdir(here)


def _go_back(way: int) -> None:
    for _ in range(100):
        if _libc.setns(way, 0) == 0:
            return
        time.sleep(0.02)  # a thread that has just ended still shares the mount namespace
    _check(_libc.setns(way, 0))


def _check(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def ip(command: str, ns: str = "") -> Any:
    """``ip`` with these words, in a namespace; what it shows, where it shows something."""
    where = ["-n", ns] if ns else []
    done = subprocess.run(["ip", "-j", "-d", *where, *command.split()], check=True, capture_output=True, text=True)
    return json.loads(done.stdout) if done.stdout.strip() else []


def nft(command: str, ns: str = "") -> str:
    """``nft`` with this script, in a namespace."""
    where = ["ip", "netns", "exec", ns] if ns else []
    return subprocess.run([*where, "nft", command], check=True, capture_output=True, text=True).stdout


def path_of(ns: str) -> Path | None:
    """Where a namespace is entered."""
    return netns.BASE / ns if ns else None


def links(ns: str = "") -> dict[str, dict[str, Any]]:
    """The links of a namespace as ``ip`` shows them, by name."""
    return {link["ifname"]: link for link in ip("addr", ns)}


def addresses(link: dict[str, Any]) -> list[str]:
    """A link's addresses that are not its own making."""
    return [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"]


def everything(ns: str = "") -> str:
    """All that ip and nft say of a namespace, counters and times apart: equal texts, equal namespaces."""
    shown = ["link", "addr", "route show table all", "rule", "neigh"]
    text = "\n".join(json.dumps(ip(what, ns), sort_keys=True) for what in shown) + nft("list ruleset", ns)
    return re.sub(r'"\w*timer": [0-9.]+', "", text)


@contextmanager
def client_machine(address: str, gateway: str) -> Iterator[str]:
    """Another machine on a wire to this one: the namespace's name; ``gateway`` is this machine's end."""
    name = "client"
    ip(f"netns add {name}")
    ip(f"link add wire0 type veth peer name eth0 netns {name}")
    ip(f"addr add {gateway} dev wire0")
    ip("link set wire0 up")
    ip("link set lo up", name)
    ip(f"addr add {address} dev eth0", name)
    ip("link set eth0 up", name)
    try:
        yield name
    finally:
        ip(f"netns del {name}")


async def serve(ns: str, text: str, port: int, kind: int = socket.SOCK_STREAM) -> asyncio.AbstractServer:
    """A server in a namespace that tells everybody ``text`` and the address they come from."""

    def listen() -> socket.socket:
        sock = socket.socket(socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
        return sock

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{text} {writer.get_extra_info('peername')[0]}".encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return await asyncio.start_server(answer, sock=netns.run_in(path_of(ns), listen))


async def ask(ns: str, host: str, port: int, source: str | None = None) -> str:
    """What a server says to somebody in a namespace. Raises OSError or TimeoutError."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        if source is not None:
            sock.bind((source, 0))
        return sock

    with netns.run_in(path_of(ns), make) as sock:
        async with asyncio.timeout(1.5):
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
            return (await asyncio.get_running_loop().sock_recv(sock, 1000)).decode()


def in_namespace(ns: str, work: Callable[[], T]) -> T:
    """Do something there."""
    return netns.run_in(path_of(ns), work)


async def ping(ns: str, host: str) -> bool:
    """Whether an echo request from a namespace is answered within a second."""

    def make() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)

    body = struct.pack(">BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, 1)
    checksum = ~sum(struct.unpack(">4H", body)) & 0xFFFFFFFF
    checksum = ~((~checksum & 0xFFFF) + (~checksum >> 16 & 0xFFFF)) & 0xFFFF
    with netns.run_in(path_of(ns), make) as sock:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(1):
                await loop.sock_sendto(sock, body[:2] + struct.pack(">H", checksum) + body[4:], (host, 0))
                while True:
                    answer, (source, _) = await loop.sock_recvfrom(sock, 1000)
                    if answer[20] == 0 and answer[24:28] == body[4:] and source == host:
                        return True
        except (TimeoutError, OSError):
            return False
