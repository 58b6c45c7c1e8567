"""Serving the application on sockets: unix, TCP with or without TLS, and those that systemd hands over."""

import asyncio
import errno
import grp
import logging
import os
import socket
import ssl
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from shoal.api.connection import Connection
from shoal.errors import Conflict, InvalidArgument

_log = logging.getLogger(__name__)

_SYSTEMD_FIRST: Final = 3
# As many as the kernel allows (net.core.somaxconn), as in Go: where it is full, a unix socket refuses at once.
_BACKLOG: Final = 4096
_GROUP: Final = "docker"
# aiohttp waits so long twice: for the answers, and for those to end that it has told to.
_SHUTDOWN_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Listener:
    """One place to listen, as ``-H`` names it: ``unix:///run/x.sock``, ``tcp://127.0.0.1:2375`` or ``fd://``."""

    scheme: str
    path: str = ""
    host: str = ""
    port: int = 0


def parse_listener(text: str, *, tls: bool = False) -> Listener:
    """What a ``-H`` means. Raises InvalidArgument in Docker's words."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise InvalidArgument(f"unable to parse docker host `{text}`")
    if scheme == "unix":
        return Listener("unix", path=rest or "/var/run/docker.sock")
    if scheme == "fd":
        return Listener("fd", path=rest)
    if scheme != "tcp":
        raise InvalidArgument(f"Invalid bind address format: {text}")
    host, colon, port = rest.rstrip("/").rpartition(":") if not rest.endswith("]") else (rest, "", "")
    if not colon:
        host, port = host or port, ""
    number = port or ("2376" if tls else "2375")
    if not number.isdecimal() or int(number) > 65535:
        raise InvalidArgument(f"Invalid bind address format: {text}")
    return Listener("tcp", host=host.strip("[]") or "127.0.0.1", port=int(number))


class ApiServer:
    """Answers with ``app`` on every one of the listeners, until it is stopped.

    ``tls`` applies to the TCP listeners. Unix sockets get mode 0660 and the group ``docker`` (``group``), where the
    machine has it.
    """

    def __init__(
        self,
        *,
        app: web.Application,
        listeners: Sequence[Listener],
        tls: ssl.SSLContext | None = None,
        group: str = _GROUP,
    ) -> None:
        self._listeners = listeners
        self._tls = tls
        self._group = group
        self._made: list[tuple[Path, int]] = []
        self._listening: list[asyncio.Server] = []
        self._runner = web.AppRunner(
            app, handle_signals=False, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
        )

    async def start(self) -> None:
        """Listen everywhere, or nowhere. Raises Conflict when an address is taken, in Docker's words."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        try:
            for listener in self._listeners:
                for sock in self._sockets(listener):
                    tls = self._tls if sock.family != socket.AF_UNIX else None
                    self._listening.append(
                        await loop.create_server(self._connection, sock=sock, ssl=tls, backlog=_BACKLOG)
                    )
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening, give answers under way two seconds to end, and remove the socket files made."""
        for server in self._listening:
            server.close()
        self._listening.clear()
        await self._runner.cleanup()
        for path, inode in self._made:
            with suppress(FileNotFoundError):
                # Another daemon may have put its own socket in the place meanwhile.
                if path.stat().st_ino == inode:
                    path.unlink()
        self._made.clear()

    @property
    def addresses(self) -> list[object]:
        """Where it listens: paths, and (host, port) pairs with the ports that the kernel chose."""
        return [sock.getsockname() for server in self._listening for sock in server.sockets]

    def _connection(self) -> Connection:
        assert self._runner.server is not None
        return Connection(self._runner.server, loop=asyncio.get_running_loop())

    def _sockets(self, listener: Listener) -> list[socket.socket]:
        if listener.scheme == "fd":
            return inherited_sockets()
        if listener.scheme == "unix":
            return [self._unix(Path(listener.path))]
        return [_tcp(listener)]

    def _unix(self, path: Path) -> socket.socket:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Nobody else may connect before the mode is right: bind gives what the umask leaves.
            before = os.umask(0o117)
            try:
                sock.bind(str(path))
            finally:
                os.umask(before)
            with suppress(KeyError, PermissionError):
                os.chown(path, 0, grp.getgrnam(self._group).gr_gid)
            sock.setblocking(False)
            self._made.append((path, path.stat().st_ino))
        except OSError as error:
            sock.close()
            raise _cannot_listen(f"unix {path}", error) from error
        return sock


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody answers on. Raises Conflict for one that is in use, or no socket at all."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise Conflict(f"can't create unix socket {path}: the file exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise _cannot_listen(f"unix {path}", error) from error
    raise Conflict(f"can't create unix socket {path}: another daemon is listening on it")


def _tcp(listener: Listener) -> socket.socket:
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((listener.host, listener.port))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise _cannot_listen(f"tcp {listener.host}:{listener.port}", error) from error
    return sock


def _cannot_listen(where: str, error: OSError) -> Conflict:
    text = "address already in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
    return Conflict(f"listen {where}: bind: {text}")


def inherited_sockets() -> list[socket.socket]:
    """The sockets that systemd opened for this very process (sd_listen_fds(3)). Raises InvalidArgument without any."""
    count = os.environ.get("LISTEN_FDS", "0")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal() or count == "0":
        raise InvalidArgument("no sockets found via socket activation: make sure the service was started by systemd")
    sockets = [socket.socket(fileno=number) for number in range(_SYSTEMD_FIRST, _SYSTEMD_FIRST + int(count))]
    for sock in sockets:
        sock.setblocking(False)
        sock.set_inheritable(False)
    return sockets
