"""One machine a test process; a test has it as if it were new."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import Machine


@pytest.fixture(scope="session")
def shared_machine() -> Iterator[Machine]:
    """The process's machine; at the end it must be as empty as at the beginning."""
    machine = Machine(Path(tempfile.mkdtemp(prefix="shoal-e2e-")))
    try:
        machine.start()
        yield machine
    except BaseException:
        machine.stop()
        raise
    left = machine.stop()
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture
def machine(shared_machine: Machine) -> Machine:
    """A machine with an engine, and no swarm, container or network of anybody's: whatever came before it."""
    shared_machine.reset()
    return shared_machine


@pytest.fixture
def swarm(machine: Machine) -> Machine:
    """A machine that is a swarm of one."""
    machine.docker("swarm", "init")
    return machine
