"""Hosts of a lab whose shoald are dictionaries."""

from typing import Any

from shoal.errors import ShoalError


class FakeSwarm:
    """A swarm that takes in whoever has a token, or refuses all."""

    def __init__(self, refusal: ShoalError | None = None) -> None:
        self.refusal = refusal
        self.roles: dict[str, str] = {}


class FakeHost:
    """One host, which is its own API client."""

    def __init__(self, name: str, address: str, swarm: FakeSwarm) -> None:
        self.name = name
        self.address = address
        self._swarm = swarm

    def engine(self) -> "FakeHost":
        return self

    def close(self) -> None:
        pass

    def get(self, path: str) -> Any:
        if path == "/swarm":
            return {"JoinTokens": {"Worker": "worker", "Manager": "manager"}}
        assert path == "/nodes"
        return [{"Description": {"Hostname": name}, "Status": {"State": "ready"}} for name in self._swarm.roles]

    def post(self, path: str, *, body: Any) -> None:
        assert body["AdvertiseAddr"] == self.address and body["ListenAddr"] == "0.0.0.0:2377"
        if path == "/swarm/init":
            self._swarm.roles[self.name] = "manager"
            return
        assert path == "/swarm/join" and body["RemoteAddrs"] == ["192.0.2.1:2377"]
        if self._swarm.refusal is not None:
            raise self._swarm.refusal
        self._swarm.roles[self.name] = body["JoinToken"]
