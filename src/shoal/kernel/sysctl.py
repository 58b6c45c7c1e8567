"""The network's sysctls (net.*), each namespace's own: /proc/sys/net shows the reading thread's."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from shoal.errors import InvalidArgument
from shoal.kernel import netns
from shoal.kernel.faults import from_os

T = TypeVar("T")


def read(ns: Path | None, key: str) -> str:
    """The value of ``key`` in the namespace, without its newline.

    The key is written as for sysctl(8): ``net.ipv4.ip_forward``, or with slashes where a link's name has a dot.
    Raises NotFound if there is no such key or namespace, InvalidArgument if it is none of the network's.
    """
    path = _path(key)
    return _run(ns, path.read_text, f"read {key}").rstrip("\n")


def write(ns: Path | None, key: str, value: str | int) -> None:
    """Set ``key`` in the namespace. Raises as :func:`read`, and Internal if the kernel does not take the value."""
    path = _path(key)

    def put() -> None:
        # not write_text: it would create or truncate, and a sysctl can be neither
        with path.open("r+b", buffering=0) as file:
            file.write(str(value).encode())

    _run(ns, put, f"set {key} to {value}")


def _run(ns: Path | None, fn: Callable[[], T], doing: str) -> T:
    try:
        return netns.run_in(ns, fn)
    except OSError as error:
        raise from_os(error, doing) from error


def _path(key: str) -> Path:
    parts = key.split("/") if "/" in key else key.split(".")
    if parts[0] != "net" or len(parts) < 3 or any(part in ("", ".", "..") for part in parts):
        raise InvalidArgument(f"{key!r} is no sysctl of the network's")
    return Path("/proc/sys", *parts)
