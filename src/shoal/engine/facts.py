"""What machine this is, read once at the start."""

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Facts:
    """``memory`` in bytes; ``labels`` are the engine's own (``--label``)."""

    hostname: str
    machine: str
    cpus: int
    memory: int
    kernel: str
    system: str
    system_version: str
    labels: tuple[tuple[str, str], ...]


def read_facts(labels: tuple[str, ...], os_release: Path = Path("/etc/os-release")) -> Facts:
    """This machine, with the labels ``key=value``."""
    names: dict[str, str] = {}
    if os_release.exists():
        for line in os_release.read_text().splitlines():
            key, _, value = line.partition("=")
            names[key] = value.strip('"')
    pairs = [label.partition("=")[::2] for label in labels]
    return Facts(
        hostname=socket.gethostname(),
        machine=platform.machine(),
        cpus=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        system=names.get("PRETTY_NAME", "Linux"),
        system_version=names.get("VERSION_ID", ""),
        labels=tuple((key, value) for key, value in pairs),
    )
