"""Numbers with units: sizes in bytes, processors, durations, times; read as Docker reads them, written as it writes.

Sources: the flags' reference of ``docker run``; Go's ``time.Duration`` for durations.
"""

import time

from shoal.errors import InvalidArgument

SECOND = 1_000_000_000
UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}
BINARY = "kmgtp"
DECIMAL_SUFFIXES = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
BINARY_SUFFIXES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def parse_bytes(text: str) -> int:
    """Bytes of ``512m``, ``1.5g``, ``64KiB``, ``-1``: units are powers of 1024. Raises InvalidArgument."""
    if text == "-1":
        return -1
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    suffix = text[len(digits) :].lower()
    digits = digits.removesuffix(" ")
    power = 0
    if suffix and suffix != "b":
        if suffix[0] not in BINARY or suffix[1:] not in ("", "b", "ib"):
            raise InvalidArgument(f"invalid suffix: '{suffix}'" if digits else f"invalid size: '{text}'")
        power = BINARY.index(suffix[0]) + 1
    if not digits or not digits.replace(".", "", 1).isdigit():
        raise InvalidArgument(f"invalid size: '{text}'")
    return scaled(digits, 1024**power)[0]


def parse_cpus(text: str) -> int:
    """Billionths of a processor of ``0.5``. Raises InvalidArgument."""
    if not text.replace(".", "", 1).isdigit():
        raise InvalidArgument(f"failed to parse {text} as a rational number")
    nanos, exact = scaled(text, SECOND)
    if not exact:
        raise InvalidArgument("value is too precise")
    return nanos


def parse_duration(text: str) -> int:
    """Nanoseconds of ``1h30m``, ``1.5s``, ``-10ms``, ``0``. Raises InvalidArgument in Go's words."""
    sign, rest = (-1 if text.startswith("-") else 1), text.lstrip("+-") if text[:1] in "+-" else text
    if rest == "0":
        return 0
    if not rest:
        raise InvalidArgument(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZµμ"))]
        rest = rest[len(unit) :]
        if not digits.replace(".", "", 1).isdigit():
            raise InvalidArgument(f'time: invalid duration "{text}"')
        if not unit:
            raise InvalidArgument(f'time: missing unit in duration "{text}"')
        if unit not in UNITS:
            raise InvalidArgument(f'time: unknown unit "{unit}" in duration "{text}"')
        total += scaled(digits, UNITS[unit])[0]
    return sign * total


def scaled(digits: str, unit: int) -> tuple[int, bool]:
    """A decimal number times a unit, rounded down, and whether that was exact."""
    whole, _, fraction = digits.partition(".")
    value, rest = divmod(int(whole + fraction) * unit, 10 ** len(fraction))
    return value, rest == 0


def format_duration(nanoseconds: int) -> str:
    """Go's spelling of a duration: ``1h0m0s``, ``1.5s``, ``2ms``, ``0s``."""
    if nanoseconds == 0:
        return "0s"
    sign, left = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    if left < SECOND:
        unit, size = next((unit, size) for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)) if left >= size)
        return f"{sign}{_ratio(left, size)}{unit}"
    hours, left = divmod(left, 3600 * SECOND)
    minutes, left = divmod(left, 60 * SECOND)
    text = f"{_ratio(left, SECOND)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else sign + text


def human_duration(seconds: float) -> str:
    """About how long: ``Less than a second``, ``5 seconds``, ``About an hour``, ``3 weeks``, ``2 years``."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, size, unit in (
        (48, 1, "hours"),
        (24 * 14, 24, "days"),
        (24 * 60, 168, "weeks"),
        (24 * 730, 720, "months"),
    ):
        if hours < limit:
            return f"{hours // size} {unit}"
    return f"{int(seconds / 3600 / 24 / 365)} years"


def human_size(size: float, precision: int = 4) -> str:
    """A size in powers of 1000 with that many significant digits: ``1.982MB``."""
    return _scaled(size, 1000, DECIMAL_SUFFIXES, precision)


def binary_size(size: float, precision: int = 4) -> str:
    """A size in powers of 1024: ``23.54GiB``."""
    return _scaled(size, 1024, BINARY_SUFFIXES, precision)


def parse_time(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; Go's zero time is far below zero. 0 for an empty text."""
    if not text:
        return 0.0
    days = days_from_civil(int(text[0:4]), int(text[5:7]), int(text[8:10]))
    seconds = days * 86400 + int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    rest, fraction = text[19:], 0.0
    if rest.startswith("."):
        digits = rest[1:].rstrip("Z").partition("+")[0].partition("-")[0]
        fraction = float(f"0.{digits}")
        rest = rest[1 + len(digits) :]
    if rest and rest != "Z":
        offset = int(rest[1:3]) * 3600 + int(rest[4:6]) * 60
        seconds -= -offset if rest[0] == "-" else offset
    return seconds + fraction


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days between 1970-01-01 and a date of the Gregorian calendar."""
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


def go_time(seconds: float) -> str:
    """Go's default spelling of a time in the local zone: ``2024-01-02 15:04:05 +0000 UTC``."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def zulu_time(seconds: float) -> str:
    """RFC 3339, to the second, in the local zone."""
    local = time.localtime(seconds)
    zone = time.strftime("%z", local)
    return time.strftime("%Y-%m-%dT%H:%M:%S", local) + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}")


def go_time_exact(text: str) -> str:
    """Go's default spelling of an RFC 3339 time, its fraction and zone kept."""
    rest = text[19:]
    digits = rest[1:].rstrip("Z").partition("+")[0].partition("-")[0] if rest.startswith(".") else ""
    zone = rest[len(digits) + (1 if digits else 0) :]
    offset = "+0000 UTC" if zone in ("Z", "") else f"{zone.replace(':', '')} {zone.replace(':', '')}"
    fraction = f".{digits.rstrip('0')}" if digits.rstrip("0") else ""
    return f"{text[:10]} {text[11:19]}{fraction} {offset}"


def _scaled(size: float, base: int, suffixes: tuple[str, ...], precision: int) -> str:
    step = 0
    while size >= base and step < len(suffixes) - 1:
        size /= base
        step += 1
    return f"{size:.{precision}g}{suffixes[step]}"


def _ratio(number: int, size: int) -> str:
    """``number / size``, exactly, where ``size`` is a power of ten."""
    whole, rest = divmod(number, size)
    digits = str(rest).zfill(len(str(size)) - 1).rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
