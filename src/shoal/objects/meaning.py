"""Whether two specs ask for the same: clients send back what they have inspected, with defaults filled in. Pure."""

from typing import Any

import msgspec

from shoal.objects.service import Service, TaskSpec
from shoal.objects.task import Task

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


def is_dirty(task: Task, service: Service) -> bool:
    """Whether the service has come to want something else of its tasks than this task was made with."""
    if task.spec_version == service.spec_version:
        return False
    wanted = service.spec.endpoint_spec
    made = task.endpoint.spec if task.endpoint else None
    return not same_meaning(task.spec, service.spec.task_template) or (
        made is not None and (made.ports or []) != ((wanted.ports if wanted else None) or [])
    )


def _said(value: Any) -> Any:
    """A value without what says nothing: empty, zero and default parts."""
    if isinstance(value, dict):
        kept = {key: _said(part) for key, part in value.items() if _DEFAULTS.get(key) != part}
        return {key: part for key, part in kept.items() if part not in (None, "", 0, False, [], {})}
    if isinstance(value, list):
        return [_said(part) for part in value]
    return value
