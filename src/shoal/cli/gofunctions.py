"""The functions of Go's templates and of Docker's, and how Go prints, compares and looks up values."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from shoal.errors import InvalidArgument

NOTHING: Any = object()


class TemplateError(InvalidArgument):
    """A template does not parse, or cannot be run on its data; the text is Go's."""


class NoFieldError(TemplateError):
    """The data has no such field."""


class Record:
    """Something with computed fields; ``type_name`` is what Go would call it in an error."""

    type_name = ""

    def field(self, name: str) -> Any:
        """A field's value. Raises NoFieldError."""
        raise NoFieldError(f"can't evaluate field {name} in type {self.type_name}")

    def as_dict(self) -> dict[str, Any]:
        """All fields, for ``json``."""
        return {}


class Lenient(dict[str, Any]):
    """A mapping whose missing fields are no error: the headers of a table."""


def lookup(value: Any, name: str) -> Any:
    """A field of a record or an entry of a mapping. Raises NoFieldError."""
    if isinstance(value, Record):
        return value.field(name)
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        folded = name.lower()
        for key in value:
            if isinstance(key, str) and key.lower() == folded:
                return value[key]
        if isinstance(value, Lenient):
            return NOTHING
        raise NoFieldError(f'map has no entry for key "{name}"')
    if value is None:
        raise NoFieldError(f'nil data; no entry for key "{name}"')
    raise NoFieldError(f"can't evaluate field {name} in type {_type_name(value)}")


def truth(value: Any) -> bool:
    """Go's truth: nothing, zero and empty are false."""
    return value is not NOTHING and bool(value)


def as_text(value: Any, *, nested: bool = False) -> str:
    """What Go's ``fmt.Print`` makes of a value: ``map[a:1 b:2]``, ``[x y]``, ``true``, ``<no value>``."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case None:
            return "<nil>" if nested else "<no value>"
        case float():
            return _float(value)
        case Record():
            return as_text(value.as_dict())
        case Mapping():
            return "map[" + " ".join(f"{as_text(k)}:{as_text(v, nested=True)}" for k, v in sorted(value.items())) + "]"
        case list() | tuple():
            return "[" + " ".join(as_text(item, nested=True) for item in value) + "]"
    return "<no value>" if value is NOTHING else str(value)


def to_json(value: Any) -> str:
    """Compact JSON; a record's fields in order of their names and with Go's escapes of ``<``, ``>`` and ``&``."""
    if isinstance(value, Record):
        text = json.dumps(value.as_dict(), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return json.dumps(None if value is NOTHING else value, separators=(",", ":"), ensure_ascii=False)


def _float(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return repr(value).replace("e-0", "e-0")


def _type_name(value: Any) -> str:
    return {bool: "bool", str: "string", int: "int", float: "float64", list: "[]interface {}"}.get(
        type(value), "interface {}"
    )


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | str) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise TemplateError(f"index out of range: {key}")
            value = value[key] if isinstance(value, list) else ord(value[key])
        elif value is None:
            raise TemplateError("index of untyped nil")
        else:
            raise TemplateError(f"can't index item of type {_type_name(value)}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    if not isinstance(value, list | str):
        raise TemplateError(f"can't slice item of type {_type_name(value)}")
    start, end = (bounds[0] if bounds else 0), (bounds[1] if len(bounds) > 1 else len(value))
    if not 0 <= start <= end <= len(value):
        raise TemplateError("slice out of range")
    return value[start:end]


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | list):
        return len(value)
    if value is None:
        # JSON's null is where Go has an empty list or map.
        return 0
    raise TemplateError(f"len of type {_type_name(value)}")


def _split(text: Any, separator: str) -> list[str]:
    return list(as_text(text)) if separator == "" else as_text(text).split(separator)


def _join(items: Any, separator: str) -> str:
    if items is None:
        return ""
    if not isinstance(items, list):
        raise TemplateError("join of something that is no list")
    return separator.join(as_text(item) for item in items)


def _truncate(text: Any, length: int) -> str:
    return as_text(text)[:length]


def _pad(text: Any, before: int, after: int) -> str:
    shown = as_text(text)
    return shown if shown == "" else " " * before + shown + " " * after


def _print(*values: Any) -> str:
    """Go's Sprint: a space between operands when neither is a string."""
    out = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out += " "
        out += as_text(value)
    return out


def _printf(pattern: str, *values: Any) -> str:
    """Go's Sprintf for the verbs v, s, d, q, t, f, g, e, x, X, o, b, c with flags and widths."""
    out, rest, left = "", pattern, list(values)
    while rest:
        before, percent, rest = rest.partition("%")
        out += before
        if not percent:
            break
        modifiers = rest[: len(rest) - len(rest.lstrip("+-# 0123456789."))]
        verb, rest = rest[len(modifiers) : len(modifiers) + 1], rest[len(modifiers) + 1 :]
        if verb == "%":
            out += "%"
        elif not left:
            out += f"%!{verb}(MISSING)"
        else:
            out += _format_one(modifiers, verb, left.pop(0))
    if left:
        out += "%!(EXTRA " + ", ".join(f"{_type_name(value)}={as_text(value)}" for value in left) + ")"
    return out


def _format_one(modifiers: str, verb: str, value: Any) -> str:
    try:
        match verb:
            case "v" | "s" | "t":
                return f"%{modifiers.replace('+', '').replace('#', '')}s" % as_text(value)
            case "q":
                return f"%{modifiers}s" % json.dumps(as_text(value), ensure_ascii=False)
            case "x" | "X" if isinstance(value, str):
                return value.encode().hex() if verb == "x" else value.encode().hex().upper()
            case "b":
                return f"{value:b}"
            case _:
                return str(f"%{modifiers}{verb}" % value)
    except (TypeError, ValueError):
        return f"%!{verb}({_type_name(value)}={as_text(value)})"


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise TemplateError("missing argument for comparison")
    return any(first == other for other in others)


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, str) != isinstance(right, str):
            raise TemplateError("incompatible types for comparison")
        return test(left, right)

    return compare


def _title(text: Any) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in as_text(text).split(" "))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eq": _equal,
    "ge": _compare(lambda left, right: bool(left >= right)),
    "gt": _compare(lambda left, right: bool(left > right)),
    "index": _index,
    "join": _join,
    "json": to_json,
    "le": _compare(lambda left, right: bool(left <= right)),
    "len": _length,
    "lower": lambda text: as_text(text).lower(),
    "lt": _compare(lambda left, right: bool(left < right)),
    "ne": lambda left, right: left != right,
    "not": lambda value: not truth(value),
    "pad": _pad,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(as_text(value) for value in values) + "\n",
    "slice": _slice,
    "split": _split,
    "title": _title,
    "truncate": _truncate,
    "upper": lambda text: as_text(text).upper(),
}
