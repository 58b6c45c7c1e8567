"""Somebody changes the network behind shoald's back: it is as it was within two seconds, and no container notices."""

import re

import pytest
from tests.e2e.harness import Machine
from tests.faults.drift import drift

pytestmark = [pytest.mark.root, pytest.mark.e2e]


def test_whatever_is_changed_is_mended(machine: Machine) -> None:
    # Two seconds on a machine that has nothing else to do.
    assert "no container restarted" in drift(machine, seconds=20)
    log = machine.shoald.log.read_text()
    assert re.search(r"mended: nft ip shoal\S* in host: it was gone", log)
    assert re.search(r"mended: sysctl net.ipv4.ip_forward in host: value was 0, not 1", log)
