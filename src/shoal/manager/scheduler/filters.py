"""Which nodes can take a task; each filter also says in words how many nodes it turned down, as Docker does."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from shoal.manager.scheduler.load import NodeLoad
from shoal.objects.constraint import Constraint, matches, parse
from shoal.objects.node import Platform
from shoal.objects.task import Task


@dataclass(frozen=True)
class Filter:
    """``takes(load, task)`` for one reason, and what to say of ``n`` nodes that do not.

    ``by_load`` says that the answer depends on what else is on the node, and so changes as tasks are placed.
    """

    takes: Callable[[NodeLoad, Task], bool]
    explain: Callable[[int], str]
    by_load: bool = False


def _ready(load: NodeLoad, _: Task) -> bool:
    return load.node.is_ready and load.node.spec.availability == "active"


def _resources(load: NodeLoad, task: Task) -> bool:
    wanted = task.spec.resources.reservations if task.spec.resources else None
    if wanted is None:
        return True
    return (wanted.nano_cpus or 0) <= load.free_cpus and (wanted.memory_bytes or 0) <= load.free_memory


def _constraints(load: NodeLoad, task: Task) -> bool:
    texts = task.spec.placement.constraints if task.spec.placement else None
    return not texts or matches(_parsed(tuple(texts)), load.node)


@lru_cache(1000)
def _parsed(texts: tuple[str, ...]) -> list[Constraint]:
    return parse(texts)


def _normal(platform: Platform) -> tuple[str, str]:
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    architecture = (platform.architecture or "").lower()
    return (platform.os or "").lower(), names.get(architecture, architecture)


def _platform(load: NodeLoad, task: Task) -> bool:
    wanted = task.spec.placement.platforms if task.spec.placement else None
    found = load.node.description.platform if load.node.description else None
    if not wanted or found is None:
        return True
    os, architecture = _normal(found)
    return any((not o or o == os) and (not a or a == architecture) for o, a in map(_normal, wanted))


def _host_ports(load: NodeLoad, task: Task) -> bool:
    return not any(key in load.host_ports for key in load.ports_of(task))


def _max_replicas(load: NodeLoad, task: Task) -> bool:
    limit = task.spec.placement.max_replicas if task.spec.placement else None
    return not limit or load.of_service(task) < limit


def _counted(one: str, many: str) -> Callable[[int], str]:
    return lambda n: one if n == 1 else many.format(n=n)


PIPELINE = (
    Filter(_ready, _counted("1 node not available for new tasks", "{n} nodes not available for new tasks")),
    Filter(
        _resources, _counted("insufficient resources on 1 node", "insufficient resources on {n} nodes"), by_load=True
    ),
    Filter(
        _constraints,
        _counted("scheduling constraints not satisfied on 1 node", "scheduling constraints not satisfied on {n} nodes"),
    ),
    Filter(_platform, _counted("unsupported platform on 1 node", "unsupported platform on {n} nodes")),
    Filter(
        _host_ports,
        _counted("host-mode port already in use on 1 node", "host-mode port already in use on {n} nodes"),
        by_load=True,
    ),
    Filter(
        _max_replicas,
        _counted("max replicas per node limit exceed", "max replicas per node limit exceed"),
        by_load=True,
    ),
)
_BY_LOAD = tuple(f for f in PIPELINE if f.by_load)


def turned_down(load: NodeLoad, task: Task) -> Filter | None:
    """The first filter that does not let the task onto the node; ``None`` if it fits."""
    return _first(PIPELINE, load, task)


def is_full(load: NodeLoad, task: Task) -> Filter | None:
    """The first filter that turns the task down for what has come onto the node, where it once would have fitted."""
    return _first(_BY_LOAD, load, task)


def _first(filters: Iterable[Filter], load: NodeLoad, task: Task) -> Filter | None:
    for each in filters:
        if not each.takes(load, task):
            return each
    return None
