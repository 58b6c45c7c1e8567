"""Placement constraints (``node.role==manager``): their grammar, and whether a node meets them.

SwarmKit's ``constraint`` package: keys ``node.id``, ``node.hostname``, ``node.role``, ``node.ip``,
``node.platform.os``, ``node.platform.arch``, ``node.labels.*``, ``engine.labels.*``; ``==`` and ``!=``; values match
without regard to case.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from shoal.errors import InvalidArgument
from shoal.objects.node import Node

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9.\-_/]*\Z")
_VALUE = re.compile(r"[a-zA-Z0-9:\-_\s.*()?+\[\]\\^$|/]+\Z")


@dataclass(frozen=True)
class Constraint:
    """``key`` must be ``value``, or must not be."""

    key: str
    value: str
    equal: bool

    def __str__(self) -> str:
        return f"{self.key}{'==' if self.equal else '!='}{self.value}"


def parse(texts: Iterable[str]) -> list[Constraint]:
    """Read constraints. Raises InvalidArgument in SwarmKit's words."""
    return [_parse(text) for text in texts]


def _parse(text: str) -> Constraint:
    for operator in ("==", "!="):
        key, found, value = text.partition(operator)
        if not found:
            continue
        key, value = key.strip(), value.strip()
        if not _KEY.match(key):
            raise InvalidArgument(f"key '{key}' is invalid")
        if not _VALUE.match(value):
            raise InvalidArgument(f"value '{value}' is invalid")
        return Constraint(key, value, operator == "==")
    raise InvalidArgument("constraint expected one operator from ==, !=")


def matches(constraints: Iterable[Constraint], node: Node) -> bool:
    """Whether the node meets them all."""
    return all(_meets(constraint, node) for constraint in constraints)


def _meets(constraint: Constraint, node: Node) -> bool:
    if constraint.key.lower() == "node.ip":
        return _in_network(constraint.value, node.status.addr) == constraint.equal
    found = _value(constraint.key, node)
    if found is None:
        return False
    return (found.lower() == constraint.value.lower()) == constraint.equal


def _value(key: str, node: Node) -> str | None:
    """What the node has under a key, "" for a label it lacks, ``None`` for a key that there is not."""
    description = node.description
    match key.lower():
        case "node.id":
            return node.id
        case "node.hostname":
            return (description.hostname if description else None) or ""
        case "node.role":
            return node.spec.role or "worker"
        case "node.platform.os":
            return (description and description.platform and description.platform.os) or ""
        case "node.platform.arch":
            return (description and description.platform and description.platform.architecture) or ""
        case lowered if lowered.startswith("node.labels."):
            return (node.spec.labels or {}).get(key[len("node.labels.") :], "")
        case lowered if lowered.startswith("engine.labels."):
            labels = (description.engine.labels if description and description.engine else None) or {}
            return labels.get(key[len("engine.labels.") :], "")
        case _:
            return None


def _in_network(value: str, address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "") in ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
