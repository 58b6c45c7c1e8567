"""The Engine API: version negotiation, JSON, query strings, and Docker's errors as kinds.

An :class:`Engine` opens a connection at its first call and keeps it; streams and hijacked requests get their own.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from shoal.client.hijack import Hijacked
from shoal.client.transport import Connection, Endpoint, Response
from shoal.errors import (
    Conflict,
    Forbidden,
    Internal,
    InvalidArgument,
    NotFound,
    NotModified,
    ShoalError,
    Unauthorized,
    Unavailable,
    Unimplemented,
)
from shoal.version import API_VERSION, VERSION

Json = dict[str, Any]
# Values are strings, numbers, booleans, lists of them, mappings (sent as JSON), or None for: leave it out.
Query = Mapping[str, Any]

KINDS: dict[int, type[ShoalError]] = {
    304: NotModified,
    400: InvalidArgument,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    500: Internal,
    501: Unimplemented,
    503: Unavailable,
}
UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Engine:
    """The daemon behind one endpoint."""

    def __init__(
        self, endpoint: Endpoint, *, version: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.endpoint = endpoint
        self._headers = {"User-Agent": f"Shoal-Client/{VERSION} (linux)", **(headers or {})}
        self._connection: Connection | None = None
        self._last: Response | None = None
        self._version = version

    def close(self) -> None:
        """Close the kept connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def version(self) -> str:
        """The API version in use; the first call asks the daemon for its own, and takes the lower of the two."""
        if self._version is None:
            response = self._send("GET", "/_ping", {}, None)
            response.read()
            offered = response.headers.get("api-version", "1.24")
            self._version = min(offered, API_VERSION, key=version_key)
        return self._version

    def get(self, path: str, query: Query | None = None) -> Any:
        """GET, and the answer's JSON (None when empty). Raises the kind that the status stands for."""
        return self._decode(self.call("GET", path, query))

    def get_plain(self, path: str) -> Any:
        """GET of a path that has no API version in front, as Shoal's own have not."""
        response = self._send("GET", path, {}, None)
        raise_for_status(response)
        return self._decode(response)

    def post(
        self, path: str, query: Query | None = None, body: Any = None, headers: dict[str, str] | None = None
    ) -> Any:
        """POST with a JSON body, and the answer's JSON. Raises the kind that the status stands for."""
        return self._decode(self.call("POST", path, query, body=body, headers=headers))

    def delete(self, path: str, query: Query | None = None) -> Any:
        """DELETE, and the answer's JSON. Raises the kind that the status stands for."""
        return self._decode(self.call("DELETE", path, query))

    def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send a request on the kept connection; the answer's body must be read before the next call."""
        content, extra = _content(body)
        response = self._send(method, self.target(path, query), {**extra, **(headers or {})}, content)
        raise_for_status(response)
        return response

    def stream(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send a request on a connection of its own, whose answer may go on for as long as it likes."""
        target = self.target(path, query)
        content, extra = _content(body)
        connection = Connection(self.endpoint)
        response = connection.request(method, target, {**self._headers, **extra, **(headers or {})}, content)
        raise_for_status(response)
        return response

    def hijack(self, path: str, query: Query | None = None, body: Any = None) -> Hijacked:
        """POST that turns the connection into a raw stream both ways (``attach``, ``exec start``)."""
        target = self.target(path, query)
        content, extra = _content(body)
        connection = Connection(self.endpoint)
        upgrade = {"Connection": "Upgrade", "Upgrade": "tcp"}
        response = connection.request("POST", target, {**self._headers, **extra, **upgrade}, content)
        raise_for_status(response)
        return Hijacked(connection.socket, connection.take_buffer())

    def target(self, path: str, query: Query | None = None) -> str:
        """The request's target: the version's prefix, the path, the encoded query."""
        text = encode_query(query or {})
        return f"/v{self.version}{path}" + (f"?{text}" if text else "")

    def _send(
        self, method: str, target: str, headers: dict[str, str], body: bytes | Iterator[bytes] | None
    ) -> Response:
        if self._connection is not None and (self._last is None or not self._last.reusable):
            self.close()
        fresh = self._connection is None
        connection = self._connection or Connection(self.endpoint)
        self._connection = connection
        try:
            response = connection.request(method, target, {**self._headers, **headers}, body)
        except Unavailable:
            # A kept connection may have been closed by the server meanwhile; only a GET is safe to repeat.
            self.close()
            if fresh or method not in ("GET", "HEAD"):
                raise
            return self._send(method, target, headers, body)
        self._last = response
        return response

    @staticmethod
    def _decode(response: Response) -> Any:
        content = response.read()
        return json.loads(content) if content.strip() else None


def raise_for_status(response: Response) -> None:
    """Raise the error kind that an answer of 300 and above stands for, with the daemon's message."""
    if response.status < 300:
        return
    content = response.read()
    message = ""
    try:
        decoded = json.loads(content)
        message = str(decoded.get("message", "")) if isinstance(decoded, dict) else ""
    except ValueError:
        message = content.decode(errors="replace")
    message = message.strip() or f"request returned status {response.status}"
    raise KINDS.get(response.status, Internal)(f"Error response from daemon: {message}")


def json_lines(response: Response) -> Iterator[Any]:
    """The JSON values of a stream, one after the other, as they arrive (separated by anything or nothing)."""
    decoder = json.JSONDecoder()
    text = ""
    pending = b""
    for piece in response.chunks():
        pending += piece
        try:
            text += pending.decode()
        except UnicodeDecodeError as error:
            text += pending[: error.start].decode()
            pending = pending[error.start :]
        else:
            pending = b""
        while text := text.lstrip():
            try:
                value, end = decoder.raw_decode(text)
            except ValueError:
                break
            yield value
            text = text[end:]


def encode_query(query: Query) -> str:
    """``a=1&b=…``: booleans as 1 and 0, mappings as JSON, lists repeated, None and empty strings left out."""
    pairs: list[str] = []
    for name, value in query.items():
        if value is None or value == "":
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, bool):
                text = "1" if item else "0"
            else:
                text = json.dumps(item, separators=(",", ":")) if isinstance(item, Mapping) else str(item)
            pairs.append(f"{name}={quote(text)}")
    return "&".join(pairs)


def quote(text: str) -> str:
    """Percent-encode all but the unreserved characters (RFC 3986, section 2.3)."""
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def version_key(version: str) -> tuple[int, int]:
    """A version such as ``1.41``, comparable."""
    major, _, minor = version.partition(".")
    return int(major), int(minor or 0)


def _content(body: Any) -> tuple[bytes | Iterator[bytes] | None, dict[str, str]]:
    if body is None:
        return None, {}
    if isinstance(body, bytes):
        return body, {"Content-Type": "application/x-tar"}
    if isinstance(body, Iterator):
        return body, {"Content-Type": "application/x-tar"}
    return json.dumps(body, separators=(",", ":")).encode(), {"Content-Type": "application/json"}
