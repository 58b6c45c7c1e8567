"""Reading requests as dockerd does, and answering in JSON.

Texts of errors are Docker's own. Bodies are JSON objects whose keys match without regard to case; query values are
strings in which ``1``, ``true``, ``True`` and ``on`` all mean yes.
"""

import base64
import binascii
from email.message import Message
from typing import TypeVar

import msgspec
from aiohttp import web

from shoal.errors import InvalidArgument
from shoal.objects.base import convert, encode, untyped
from shoal.wire.docker.auth import AuthConfig

T = TypeVar("T")

_FALSE = frozenset(("", "0", "no", "false", "none"))


async def json_body(request: web.Request, kind: type[T]) -> T:
    """The body as ``kind``. Raises InvalidArgument for another content type, for no body, and for what does not fit."""
    body = await _checked_body(request)
    if not body:
        raise InvalidArgument("invalid JSON: got EOF while reading request body")
    return parse_json(body, kind)


async def optional_body(request: web.Request, kind: type[T]) -> T | None:
    """The same for calls that may come without a body: then None."""
    body = await _checked_body(request)
    return parse_json(body, kind) if body else None


def parse_json(body: bytes, kind: type[T]) -> T:
    """JSON as ``kind``; raises InvalidArgument with the texts of Go's decoder for what is not JSON at all."""
    try:
        raw = untyped(body)
    except msgspec.DecodeError as error:
        if "trailing characters" in str(error):
            raise InvalidArgument("unexpected content after JSON") from error
        raise InvalidArgument(f"invalid JSON: {_go_text(body, error)}") from error
    # Docker takes null for an empty object.
    return convert({} if raw is None else raw, kind)


def _go_text(body: bytes, error: msgspec.DecodeError) -> str:
    text = str(error)
    if "truncated" in text:
        return "unexpected EOF"
    first = body.lstrip()[:1].decode("latin-1")
    if first not in ("{", "[", '"', "-", "t", "f", "n") and not first.isdigit():
        return f"invalid character '{first}' looking for beginning of value"
    return text


async def _checked_body(request: web.Request) -> bytes:
    """The whole body, whose content type must be JSON unless there is neither."""
    body = await request.read()
    header = request.headers.get("Content-Type", "")
    if not header:
        if body:
            raise InvalidArgument("malformed Content-Type header (): mime: no media type")
        return body
    parsed = Message()
    parsed["Content-Type"] = header
    if parsed.get_content_type() != "application/json":
        raise InvalidArgument(f"unsupported Content-Type header ({header}): must be 'application/json'")
    return body


def query_text(request: web.Request, name: str, default: str = "") -> str:
    """A query value, ``default`` where it is absent."""
    return request.query.get(name, default)


def query_bool(request: web.Request, name: str, default: bool = False) -> bool:
    """A query value as Docker reads a boolean: empty, 0, no, false and none mean no, anything else yes."""
    value = request.query.get(name)
    return default if value is None else value.strip().lower() not in _FALSE


def query_int(request: web.Request, name: str, default: int | None = None) -> int | None:
    """A query value as a number, ``default`` where it is absent or empty. Raises InvalidArgument in Go's words."""
    value = request.query.get(name, "").strip()
    if not value:
        return default
    try:
        number = int(value) if value.isascii() and "_" not in value else None
    except ValueError:
        number = None
    if number is None:
        raise InvalidArgument(f'strconv.Atoi: parsing "{value}": invalid syntax')
    if not -(1 << 63) <= number < 1 << 63:
        raise InvalidArgument(f'strconv.Atoi: parsing "{value}": value out of range')
    return number


def required_version(request: web.Request, what: str) -> int:
    """The ``version`` that an update of a swarm object was made from; ``what`` names the object in the error."""
    text = request.query.get("version", "")
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or int(text) >= 1 << 64:
        raise InvalidArgument(f"invalid {what} version '{text}': strconv.ParseUint: parsing \"{text}\": invalid syntax")
    return int(text)


def query_tail(request: web.Request) -> int | None:
    """How many of the last lines of a log; as Docker does, anything that is no number means all."""
    text = request.query.get("tail", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def registry_auth(request: web.Request, header: str = "X-Registry-Auth") -> AuthConfig | None:
    """The credentials that came along, None without any.

    As Docker does, what can't be read counts as none: the registry will say what it needs.
    """
    text = request.headers.get(header, "")
    if not text:
        return None
    try:
        raw = base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
        return convert(untyped(raw), AuthConfig)
    except (binascii.Error, ValueError, InvalidArgument):
        return None


def json_response(value: object, *, status: int = 200) -> web.Response:
    """``value`` as the Engine API's JSON."""
    return web.Response(status=status, body=encode(value), content_type="application/json")


def no_content() -> web.Response:
    """It is done, and there is nothing to say."""
    return web.Response(status=204)
