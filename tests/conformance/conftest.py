"""A real etcd for the tests of this folder: one a process, each test has a prefix of its own."""

from collections.abc import Iterator

import pytest
from tests.fakes.etcd import EtcdServer, etcd_servers


@pytest.fixture(scope="session")
def etcd_server() -> Iterator[EtcdServer]:
    with etcd_servers() as (server,):
        yield server
