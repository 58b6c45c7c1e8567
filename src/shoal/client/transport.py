"""HTTP/1.1 over a unix or TCP socket: one connection, one request at a time.

Source: RFC 9112 for the messages; the Engine API's "Hijacking" for what follows an upgrade.
"""

import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

from shoal.errors import InvalidArgument, Unavailable

DEFAULT_PORT = 2375
DEFAULT_TLS_PORT = 2376
CHUNK = 65536
Wrap = Callable[[socket.socket, str], socket.socket]


class Endpoint(NamedTuple):
    """Where a daemon listens; ``text`` is how the user named it."""

    text: str
    path: str = ""
    host: str = ""
    port: int = 0
    tls: Wrap | None = None


def parse_endpoint(text: str, tls: Wrap | None = None) -> Endpoint:
    """The endpoint that ``unix://PATH``, ``tcp://HOST[:PORT]`` or ``HOST:PORT`` names. Raises InvalidArgument."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "tcp", text
    if scheme == "unix":
        return Endpoint(text, path=rest or "/var/run/docker.sock")
    if scheme not in ("tcp", "http", "https"):
        raise InvalidArgument(f"unable to parse docker host `{text}`")
    rest = rest.partition("/")[0]
    host, separator, port = rest.rpartition(":")
    if not separator or port.endswith("]"):
        host, port = rest, str(DEFAULT_TLS_PORT if tls else DEFAULT_PORT)
    if not port.isdigit() or int(port) > 65535:
        raise InvalidArgument(f"invalid bind address format: {text}")
    return Endpoint(text, host=host.strip("[]") or "127.0.0.1", port=int(port), tls=tls)


def reason(error: OSError) -> str:
    """What the system or OpenSSL says, without their numbers: ``connection reset by peer``."""
    return str(error.strerror or error).rpartition("] ")[2].partition(" (_ssl")[0].lower()


class Response:
    """The head of an answer, and its body as far as it has been read."""

    def __init__(self, connection: "Connection", status: int, headers: dict[str, str], *, empty: bool) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length")
        self._left: int | None = int(length) if length is not None and not self._chunked else None
        self._done = empty or self._left == 0

    def chunks(self) -> Iterator[bytes]:
        """The body, piece by piece as it arrives."""
        while piece := self.read_some():
            yield piece

    def read_some(self) -> bytes:
        """What arrived of the body, at least a byte; nothing at its end."""
        if self._done:
            return b""
        if self._chunked:
            return self._read_chunk()
        piece = self._connection.receive(CHUNK if self._left is None else min(self._left, CHUNK))
        if self._left is not None:
            if not piece:
                raise Unavailable("unexpected EOF")
            self._left -= len(piece)
        self._done = not piece or self._left == 0
        return piece

    def _read_chunk(self) -> bytes:
        if self._left is None:
            size = self._connection.read_line().partition(b";")[0]
            if not size:
                raise Unavailable("unexpected EOF")
            self._left = int(size, 16)
        if self._left == 0:
            while self._connection.read_line():
                pass
            self._done = True
            return b""
        piece = self._connection.receive(min(self._left, CHUNK))
        if not piece:
            raise Unavailable("unexpected EOF")
        self._left -= len(piece)
        if self._left == 0:
            self._connection.read_line()
            self._left = None
        return piece

    def read(self) -> bytes:
        """All of the body."""
        return b"".join(self.chunks())

    @property
    def reusable(self) -> bool:
        """Whether the connection can take the next request: the body is read and the server keeps it open."""
        framed = self._chunked or "content-length" in self.headers or self.status in (204, 304)
        return self._done and framed and self.headers.get("connection", "").lower() != "close"


class Connection:
    """One socket to the daemon. Requests follow each other; each answer's body must be read before the next."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.socket = _connect(endpoint)
        self._buffer = bytearray()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def request(
        self, method: str, target: str, headers: dict[str, str], body: bytes | Iterator[bytes] | None = None
    ) -> Response:
        """Send a request and read the answer's head. A body that is an iterator is sent in chunks.

        Raises Unavailable when the connection breaks.
        """
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.endpoint.host or 'docker'}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if isinstance(body, bytes):
            lines.append(f"Content-Length: {len(body)}")
        elif body is not None:
            lines.append("Transfer-Encoding: chunked")
        elif method in ("POST", "PUT"):
            lines.append("Content-Length: 0")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        try:
            self.socket.sendall(head + body if isinstance(body, bytes) else head)
            if body is not None and not isinstance(body, bytes):
                for piece in body:
                    if piece:
                        self.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.socket.sendall(b"0\r\n\r\n")
        except BrokenPipeError:
            # The server may have answered before it read all of the body, and that answer says why.
            pass
        except OSError as error:
            raise Unavailable(f"error during connect: {reason(error)}") from error
        return self._read_head(method)

    def _read_head(self, method: str) -> Response:
        status_line = self.read_line().decode("latin-1").split(" ", 2)
        if len(status_line) < 2 or not status_line[1].isdigit():
            raise Unavailable("error during connect: EOF")
        status = int(status_line[1])
        headers: dict[str, str] = {}
        while line := self.read_line():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if status == 100:
            return self._read_head(method)
        return Response(self, status, headers, empty=method == "HEAD" or status in (204, 304))

    def read_line(self) -> bytes:
        """One line without its end; empty at the end of the stream too."""
        while (end := self._buffer.find(b"\n")) < 0:
            piece = self._receive(CHUNK)
            if not piece:
                return b""
            self._buffer += piece
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def receive(self, limit: int) -> bytes:
        """Up to ``limit`` bytes, at least one; none at the end of the stream."""
        if self._buffer:
            piece = bytes(self._buffer[:limit])
            del self._buffer[:limit]
            return piece
        return self._receive(limit)

    def take_buffer(self) -> bytes:
        """What was received beyond the head, for who takes over the raw socket."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _receive(self, limit: int) -> bytes:
        try:
            return self.socket.recv(limit)
        except OSError as error:
            raise Unavailable(f"error during connect: {reason(error)}") from error


def _connect(endpoint: Endpoint) -> socket.socket:
    try:
        if endpoint.path:
            return _connect_unix(endpoint.path)
        plain = socket.create_connection((endpoint.host, endpoint.port), timeout=30)
        plain.settimeout(None)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return endpoint.tls(plain, endpoint.host) if endpoint.tls else plain
    except PermissionError as error:
        raise Unavailable(
            "permission denied while trying to connect to the Docker daemon socket"
            f" at {endpoint.text}: {error.strerror}"
        ) from error
    except OSError as error:
        raise Unavailable(
            f"Cannot connect to the Docker daemon at {endpoint.text}. Is the docker daemon running?"
        ) from error


def _connect_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
