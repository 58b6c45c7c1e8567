"""What a specification depends on in this host, looked up once at the start."""

import platform
from pathlib import Path

from shoal.container import capabilities, cgroups
from shoal.container.ocispec import SpecHost


def detect(status: Path = Path("/proc/self/status")) -> SpecHost:
    """This host, seen with our own rights: a capability that we lack cannot be passed on."""
    fields = dict(line.partition(":")[::2] for line in status.read_text().splitlines())
    return SpecHost(
        cgroup=cgroups.detect(),
        machine=platform.machine(),
        capabilities=capabilities.in_mask(int(fields["CapBnd"], 16) & int(fields["CapPrm"], 16)),
    )
