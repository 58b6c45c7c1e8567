"""How the objects are written as JSON: the Engine API's keys, Go's leniency on the way in.

Go's decoder matches keys without regard to case, and clients rely on it (``replicated``, ``order``): :func:`decode`
does so too. A key that no field answers to is ignored, as Docker ignores it.
"""

import types
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

from shoal.errors import InvalidArgument

T = TypeVar("T")

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1

_ACRONYMS = {
    "id": "ID", "ip": "IP", "dns": "DNS", "tls": "TLS", "ca": "CA", "cpus": "CPUs", "cpu": "CPU", "ipam": "IPAM",
    "uid": "UID", "gid": "GID", "os": "OS", "url": "URL", "pid": "PID", "ips": "IPs", "io": "IO", "ipv4": "IPv4",
    "ipv6": "IPv6", "oom": "OOM", "nfd": "NFd",
}  # fmt: skip


def api_name(attribute: str) -> str:
    """The Engine API's key for an attribute: ``desired_state`` is ``DesiredState``, ``service_id`` ``ServiceID``."""
    return "".join(_ACRONYMS.get(word) or word.capitalize() for word in attribute.split("_"))


class Object(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename=api_name, gc=False):
    """Base of everything that the API sends or the store keeps."""


ZERO_TIME = "0001-01-01T00:00:00Z"


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with a Z, always with six digits after the point: the order of texts is the order of moments."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """The moment that an RFC 3339 text means; digits past the microsecond are dropped."""
    head, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}"
    return datetime.fromisoformat(text)


def check_texts(*objects: msgspec.Struct) -> None:
    """Raises InvalidArgument where a text has a NUL in it: no path, argument, variable or name of the kernel's can."""
    if any(map(_has_nul, msgspec.to_builtins(objects))):
        raise InvalidArgument("invalid argument: a text contains a null byte")


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nul, value)) or any(map(_has_nul, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\0" in value


def encode(value: object) -> bytes:
    """JSON in the Engine API's form."""
    return msgspec.json.encode(value)


def decode(body: bytes, kind: type[T]) -> T:
    """Read JSON as ``kind``, matching keys without regard to case.

    :raises InvalidArgument: what is not JSON, or does not fit the type; the text says where.
    """
    try:
        return convert(untyped(body), kind)
    except msgspec.DecodeError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from error


def untyped(body: bytes | str) -> object:
    """Parsed JSON. Raises msgspec's DecodeError, and InvalidArgument for what is no text or nested without end."""
    try:
        parsed: object = msgspec.json.decode(body)
    except RecursionError as error:
        raise InvalidArgument("invalid JSON: exceeded max depth") from error
    except UnicodeError as error:
        raise InvalidArgument("invalid JSON: it is not UTF-8") from error
    return parsed


def convert(raw: object, kind: type[T]) -> T:
    """Like :func:`decode`, from parsed JSON."""
    try:
        return msgspec.convert(_folded(raw, kind), kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from error


@cache
def _fields(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Any]]:
    return {f.encode_name.lower(): (f.encode_name, f.type) for f in msgspec.structs.fields(kind)}


@cache
def _shape(kind: Any) -> tuple[str, Any]:
    """What to look for inside a value of type ``kind``: a struct, a list's items, a dict's values, or nothing."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        for option in get_args(kind):
            if (shape := _shape(option))[0] != "plain":
                return shape
        return "plain", None
    if origin in (list, tuple):
        return "list", get_args(kind)[0]
    if origin is dict:
        return "dict", get_args(kind)[1]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "struct", kind
    return "plain", None


def _folded(raw: object, kind: Any) -> object:
    shape, inner = _shape(kind)
    if shape == "struct" and isinstance(raw, dict):
        fields = _fields(inner)
        folded: dict[str, object] = {}
        for key, value in raw.items():
            if (field := fields.get(str(key).lower())) is None:
                continue
            name, type_ = field
            # Go leaves a field alone when it reads null; only a field that may be None keeps it.
            if value is None and not _nullable(type_):
                continue
            folded[name] = _folded(value, type_)
        return folded
    if shape == "list" and isinstance(raw, list):
        return [_folded(_unless_null(item, inner), inner) for item in raw]
    if shape == "dict" and isinstance(raw, dict):
        return {key: _folded(_unless_null(value, inner), inner) for key, value in raw.items()}
    if isinstance(raw, int) and not _INT64_MIN <= raw <= _INT64_MAX:
        # Python's numbers have no end; those of the API, of the wire and of the kernel have.
        raise InvalidArgument("invalid JSON: json: cannot unmarshal number out of range into a value of type int64")
    return raw


def _unless_null(value: object, kind: Any) -> object:
    """In a list or a map Go reads null as the zero value of what it holds."""
    if value is not None or _nullable(kind):
        return value
    zeros: dict[str, object] = {"struct": {}, "list": [], "dict": {}}
    shape = _shape(kind)[0]
    return zeros[shape] if shape in zeros else _ZEROS.get(kind)


_ZEROS: dict[Any, object] = {str: "", int: 0, float: 0.0, bool: False}


@cache
def _nullable(kind: Any) -> bool:
    return kind is Any or type(None) in get_args(kind)
