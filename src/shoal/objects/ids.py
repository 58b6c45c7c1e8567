"""Identifiers: SwarmKit's 25 base36 digits for what lives in the store, 64 hex digits for what lives on a node."""

import secrets
from typing import NewType

ServiceId = NewType("ServiceId", str)
TaskId = NewType("TaskId", str)
NodeId = NewType("NodeId", str)
NetworkId = NewType("NetworkId", str)
ClusterId = NewType("ClusterId", str)
ContainerId = NewType("ContainerId", str)

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(number: int, width: int) -> str:
    """``number`` in base 36, padded on the left with zeros to ``width`` digits."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits.rjust(width, "0")


def swarm_id() -> str:
    """A fresh id of 25 base36 digits, the form of SwarmKit's ``identity`` package: 128 random bits."""
    return base36(secrets.randbits(128), 25)


def container_id() -> ContainerId:
    """A fresh id of 64 hex digits whose first 12 are not all decimal: those serve as a host name."""
    while True:
        text = secrets.token_hex(32)
        if not text[:12].isdecimal():
            return ContainerId(text)
