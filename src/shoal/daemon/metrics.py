"""What ``--metrics-addr`` serves: the containers, the swarm and the daemon itself in figures."""

import asyncio
import os
import sys
from collections import Counter

from shoal.daemon.guard import NetworkGuard
from shoal.daemon.swarm import Swarm
from shoal.engine.engine import Engine
from shoal.observe.metrics import Metric, by_label, gauge, render
from shoal.version import VERSION

_STATES = ("created", "running", "paused", "restarting", "exited")


# Of each kind there is a figure from the start, so that a change of it is seen.
_KINDS = ("netns", "link", "stray", "address", "route", "rule", "neighbour", "fdb", "nft", "sysctl")


def text(engine: Engine, swarm: Swarm, guard: NetworkGuard) -> str:
    """The figures now."""
    states = Counter(container.state.status for container in engine.records.all())
    found: list[Metric] = [
        gauge("engine_daemon_engine_info", "The engine.", 1, version=VERSION, kernel=engine.facts.kernel),
        gauge("engine_daemon_engine_cpus_cpus", "The host's CPUs.", engine.facts.cpus),
        gauge("engine_daemon_engine_memory_bytes", "The host's memory in bytes.", engine.facts.memory),
        by_label(
            "engine_daemon_container_states_containers",
            "Containers by their state.",
            "state",
            {state: float(states[state]) for state in _STATES},
        ),
        gauge("shoal_sandboxes", "Network sandboxes on this node.", len(engine.networks.sandboxes)),
        by_label(
            "shoal_network_mended_total",
            "What somebody had changed in the kernel's network, and was mended.",
            "kind",
            {kind: float(guard.mended[kind]) for kind in _KINDS},
            kind="counter",
        ),
        gauge("shoal_event_listeners", "Clients that listen to events.", engine.events.listeners),
        gauge("shoal_asyncio_tasks", "Tasks of the daemon's event loop.", len(asyncio.all_tasks())),
        gauge("python_allocated_blocks", "Blocks of memory that Python objects have.", sys.getallocatedblocks()),
        gauge("process_open_fds", "Open files of the daemon.", len(os.listdir("/proc/self/fd"))),
        gauge("process_resident_memory_bytes", "The daemon's memory in bytes.", _resident()),
    ]
    if swarm.manager is not None:
        tasks = Counter(task.status.state for task in swarm.manager.tasks.list())
        nodes = Counter(node.status.state for node in swarm.manager.nodes.list())
        found += [
            by_label("swarm_manager_tasks_total", "Tasks by their state.", "state", dict(tasks)),
            by_label("swarm_manager_nodes", "Nodes by their state.", "state", dict(nodes)),
            gauge("swarm_manager_services_total", "Services.", len(swarm.manager.services.list())),
            gauge("swarm_manager_networks_total", "Networks.", len(swarm.manager.networks.list())),
            gauge("shoal_store_revision", "The store's revision.", swarm.manager.store.revision),
        ]
    return render(found)


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
