"""Whether two specs ask for the same: clients send back what they have inspected, with defaults filled in. Pure."""

from typing import Any

import msgspec

from shoal.objects.service import TaskSpec

# What a spec means where it says nothing (SwarmKit's defaults), by its key.
_DEFAULTS: dict[str, Any] = {
    "Isolation": "default",
    "Runtime": "container",
    "Condition": "any",
    "Delay": 5_000_000_000,
    "StopGracePeriod": 10_000_000_000,
}


def same_meaning(one: TaskSpec, other: TaskSpec) -> bool:
    """Whether tasks made with either would be alike."""
    return one == other or _said(msgspec.to_builtins(one)) == _said(msgspec.to_builtins(other))


def _said(value: Any) -> Any:
    """A value without what says nothing: empty, zero and default parts."""
    if isinstance(value, dict):
        kept = {key: _said(part) for key, part in value.items() if _DEFAULTS.get(key) != part}
        return {key: part for key, part in kept.items() if part not in (None, "", 0, False, [], {})}
    if isinstance(value, list):
        return [_said(part) for part in value]
    return value
