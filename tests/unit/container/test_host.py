"""What this host has."""

from pathlib import Path

from shoal.container import capabilities
from shoal.container.host import detect


def test_capabilities_are_what_we_have_to_give(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nCapPrm:\t000001ffffffffff\nCapBnd:\t000001fffeffffff\n")
    found = detect(status)
    assert set(capabilities.ALL) - set(found.capabilities) == {"CAP_SYS_RESOURCE"}
    assert found.cgroup.version in (1, 2)
