"""The network's sysctls (net.*), each namespace's own: /proc/sys/net shows the reading thread's."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from shoal.errors import InvalidArgument
from shoal.kernel import netns
from shoal.kernel.faults import from_os

T = TypeVar("T")


def read(ns: Path | None, keys: Iterable[str]) -> dict[str, str]:
    """The values of ``keys`` in the namespace, without their newlines; a key that is not there has none.

    A key is written as for sysctl(8): ``net.ipv4.ip_forward``, or with slashes where a link's name has a dot.
    Raises NotFound if there is no such namespace, InvalidArgument for a key that is none of the network's.
    """
    paths = {key: _path(key) for key in keys}

    def get() -> dict[str, str]:
        found: dict[str, str] = {}
        for key, path in paths.items():
            with suppress(FileNotFoundError):
                found[key] = _content(path)
        return found

    return _run(ns, get, "read sysctls")


def write(ns: Path | None, key: str, value: str | int) -> None:
    """Set ``key`` in the namespace. Raises as :func:`read`, NotFound for a key that is not there, and Internal if the
    kernel does not take the value."""
    path = _path(key)

    def put() -> None:
        # not write_text: it would create or truncate, and a sysctl can be neither
        with path.open("r+b", buffering=0) as file:
            file.write(str(value).encode())

    _run(ns, put, f"set {key} to {value}")


def _content(path: Path) -> str:
    """Path.read_text would be four times as slow, which counts where all of a node's are read every second."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096).decode().rstrip("\n")
    finally:
        os.close(fd)


def _run(ns: Path | None, fn: Callable[[], T], doing: str) -> T:
    try:
        return netns.run_in(ns, fn)
    except OSError as error:
        raise from_os(error, doing) from error


@lru_cache(4096)
def _path(key: str) -> Path:
    parts = key.split("/") if "/" in key else key.split(".")
    if parts[0] != "net" or len(parts) < 3 or any(part in ("", ".", "..") for part in parts):
        raise InvalidArgument(f"{key!r} is no sysctl of the network's")
    return Path("/proc/sys", *parts)
