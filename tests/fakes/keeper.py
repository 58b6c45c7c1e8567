"""The keeper as shoald sees it, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.errors import ShoalError
from shoal.keeper.client import KeeperClient
from shoal.wire.keeper import NetworkRecords, Ports, Sandbox, Status, Stdio


@dataclass
class FakeKeeper(KeeperClient):
    """Remembers what it is told. ``fails`` has errors by the method's name, each raised once."""

    open_streams: dict[str, Stdio] = field(default_factory=dict)
    served: dict[str, Sandbox] = field(default_factory=dict)
    names: dict[str, NetworkRecords] = field(default_factory=dict)
    fails: dict[str, ShoalError] = field(default_factory=dict)

    def _step(self, method: str) -> None:
        if (error := self.fails.pop(method, None)) is not None:
            raise error

    async def hello(self) -> Status:
        self._step("hello")
        return Status(1, "fake", tuple(self.open_streams), tuple(self.served), tuple(self.names))

    async def open(self, stdio: Stdio) -> None:
        self._step("open")
        self.open_streams[stdio.container_id] = stdio

    async def drained(self, container_id: str, timeout: float = 2.0) -> None:
        self._step("drained")

    async def close(self, container_id: str) -> None:
        self._step("close")
        self.open_streams.pop(container_id, None)

    async def serve(self, sandbox: Sandbox) -> Ports:
        self._step("serve")
        self.served[sandbox.sandbox_id] = sandbox
        return Ports(sandbox.udp_port, sandbox.tcp_port)

    async def networks(self, networks: Mapping[str, NetworkRecords | None]) -> None:
        self._step("networks")
        for network_id, records in networks.items():
            if records is None:
                self.names.pop(network_id, None)
            else:
                self.names[network_id] = records

    async def stop(self, sandbox_id: str) -> None:
        self._step("stop")
        self.served.pop(sandbox_id, None)

    def copied(self) -> "FakeKeeper":
        """What it has at this moment, for a shoald that is started after another was killed."""
        return FakeKeeper(dict(self.open_streams), dict(self.served), dict(self.names))

    def addresses(self, network_id: str, name: str) -> set[str]:
        """What a network answers for a name."""
        found = self.names.get(network_id)
        return {a for record in (found.records if found else ()) if record.name == name for a in record.addresses}
