"""The Engine API over a unix socket, as cheaply as Python can: what is measured is the server, not this client."""

import json
import select
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote


class Refused(Exception):
    """An answer of 400 or more: method, path, status and the message."""


class Connection:
    """One connection, kept alive; requests one after the other."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._socket.settimeout(60)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def get(self, path: str, **filters: str) -> Any:
        """The decoded answer; ``filters`` become the API's ``filters`` parameter."""
        if filters:
            wanted = json.dumps({key.replace("_", "-"): [value] for key, value in filters.items()})
            path += f"{'&' if '?' in path else '?'}filters={quote(wanted)}"
        return self.call("GET", path)

    def post(self, path: str, body: object = None) -> Any:
        """The decoded answer."""
        return self.call("POST", path, body)

    def delete(self, path: str) -> Any:
        """The decoded answer."""
        return self.call("DELETE", path)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Ask and decode. Raises Refused."""
        payload = b"" if body is None else json.dumps(body).encode()
        status, content = self.exchange(_request(method, path, payload))
        if status >= 400:
            raise Refused(f"{method} {path.partition('?')[0]}: {status} {content.decode(errors='replace').strip()}")
        return json.loads(content) if content.strip() and content.lstrip()[:1] in b"[{" else content

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send the bytes of a request; status and body of the answer."""
        self._socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._received()
        head, body = data[:end].lower(), data[end + 4 :]
        status = int(head[9:12])
        if status in (204, 304):
            return status, b""
        if b"transfer-encoding: chunked" in head:
            return status, self._chunks(body)
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._received()
        return status, body

    def _chunks(self, data: bytes) -> bytes:
        content = b""
        while True:
            while (end := data.find(b"\r\n")) < 0:
                data += self._received()
            size = int(data[:end], 16)
            while len(data) < end + 4 + size:
                data += self._received()
            if size == 0:
                return content
            content += data[end + 2 : end + 2 + size]
            data = data[end + 4 + size :]

    def _received(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the engine hung up")
        return data


def latencies(path: Path, target: str, count: int) -> list[float]:
    """Seconds that each of ``count`` requests took, one after the other on one connection."""
    connection = Connection(path)
    request = _request("GET", target)
    taken = []
    for _ in range(count + 3):
        since = time.perf_counter()
        status, content = connection.exchange(request)
        taken.append(time.perf_counter() - since)
        if status != 200:
            raise Refused(f"GET {target}: {status} {content.decode(errors='replace').strip()}")
    connection.close()
    return taken[3:]


def requests_per_second(path: Path, target: str, *, connections: int, seconds: float) -> float:
    """How many requests are answered on that many connections, each of which asks as soon as it has its answer."""
    request = _request("GET", target)
    sockets: dict[int, socket.socket] = {}
    poll = select.epoll()
    for _ in range(connections):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        sockets[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
    # An answer is complete when it has as many bytes as the first one: an engine's answers to one question do.
    length = _length(sock, request)
    left = dict.fromkeys(sockets, length)
    for sock in sockets.values():
        sock.sendall(request)
    done, since = 0, time.perf_counter()
    while (now := time.perf_counter()) - since < seconds:
        for descriptor, _ in poll.poll(1):
            sock = sockets[descriptor]
            left[descriptor] -= len(sock.recv(1 << 18))
            if left[descriptor] <= 0:
                done += 1
                left[descriptor] = length
                sock.sendall(request)
    for sock in sockets.values():
        sock.close()
    poll.close()
    return done / (now - since)


def _length(sock: socket.socket, request: bytes) -> int:
    """How many bytes the answer has: all that come until nothing more does."""
    sock.sendall(request)
    length = len(sock.recv(1 << 18))
    while select.select([sock], [], [], 0.2)[0]:
        length += len(sock.recv(1 << 18))
    return length


def _request(method: str, path: str, payload: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\n"
    if payload or method == "POST":
        head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
    return head.encode() + b"\r\n" + payload
