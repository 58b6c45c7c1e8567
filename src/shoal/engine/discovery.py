"""Names: what the keeper answers inside the sandboxes of this node.

The records of the swarm's networks come from the agent, whole; those of the node's own networks are made here from
the containers on them. A sandbox gets a zone that names its networks, so a change of a service is one message.
"""

import ipaddress
from collections.abc import Mapping

from shoal.engine.files import HostResolver
from shoal.keeper.client import KeeperClient
from shoal.objects.container import Container, Endpoint, Sandbox
from shoal.wire.keeper import TASK_TTL, NetworkRecords, Pointer, Record, Zone
from shoal.wire.keeper import Sandbox as Served


class Discovery:
    """Keeps the keeper's records in step. Order of the calls: a sandbox is served after its namespace is there, and
    withdrawn before that goes."""

    def __init__(self, *, keeper: KeeperClient, resolver: HostResolver) -> None:
        self._keeper = keeper
        self._resolver = resolver
        self._local: dict[str, dict[str, NetworkRecords]] = {}
        self._cluster: dict[str, NetworkRecords] = {}
        self._served: set[str] = set()

    async def serve(self, container: Container, sandbox: Sandbox, netns_path: str) -> None:
        """Answer names in a sandbox, and the container's own names on the node's networks that it is on."""
        networks = tuple(e.network_id for e in sandbox.endpoints if answers(e.network_name))
        if not networks:
            await self.withdraw(container.id)
            return
        for endpoint in sandbox.endpoints:
            if self._note(container, endpoint):
                await self._send(endpoint.network_id)
        zone = Zone(networks=networks, upstreams=self._resolver.upstreams(container.host_config.dns or ()))
        port = sandbox.dns_port or 53
        await self._keeper.serve(Served(container.id, netns_path, zone, udp_port=port, tcp_port=port))
        self._served.add(container.id)

    async def leave(self, container_id: str, network_id: str) -> None:
        """A container is taken off one network: its names there go."""
        if self._local.get(network_id, {}).pop(container_id, None) is not None:
            await self._send(network_id)

    async def withdraw(self, container_id: str) -> None:
        """Forget a container's names, and close its resolver."""
        for network_id, members in list(self._local.items()):
            if members.pop(container_id, None) is not None:
                await self._send(network_id)
        if container_id in self._served:
            self._served.discard(container_id)
            await self._keeper.stop(container_id)

    async def set_cluster(self, records: Mapping[str, NetworkRecords]) -> None:
        """What the swarm's networks answer from now on."""
        changed: dict[str, NetworkRecords | None] = {
            network_id: found for network_id, found in records.items() if self._cluster.get(network_id) != found
        }
        changed |= {network_id: None for network_id in self._cluster if network_id not in records}
        before, self._cluster = self._cluster, dict(records)
        if changed:
            try:
                await self._keeper.networks(changed)
            except BaseException:
                # It is sent again with the next change.
                self._cluster = before
                raise

    def adopt(self, container: Container, sandbox: Sandbox) -> None:
        """The keeper serves this sandbox, and its names to others, already, since before a restart. To be called once
        the swarm's networks are known."""
        if any(answers(endpoint.network_name) for endpoint in sandbox.endpoints):
            self._served.add(container.id)
        for endpoint in sandbox.endpoints:
            self._note(container, endpoint)

    def _note(self, container: Container, endpoint: Endpoint) -> bool:
        """Keep a container's names on one of the node's own networks; whether it is one."""
        if not answers(endpoint.network_name) or endpoint.network_id in self._cluster:
            return False
        names = [container.name, *endpoint.aliases, container.short_id]
        addresses = tuple(str(ipaddress.ip_interface(a).ip) for a in endpoint.addresses)
        self._local.setdefault(endpoint.network_id, {})[container.id] = _of_container(names, addresses)
        return True

    async def _send(self, network_id: str) -> None:
        members = self._local.get(network_id, {}).values()
        await self._keeper.network_records(
            network_id,
            NetworkRecords(
                records=tuple(record for member in members for record in member.records),
                pointers=tuple(pointer for member in members for pointer in member.pointers),
            )
            if members
            else None,
        )


def answers(network_name: str) -> bool:
    """Whether containers on this network know each other by name; on the default bridge they never have."""
    return network_name not in ("bridge", "docker_gwbridge", "ingress")


def _of_container(names: list[str], addresses: tuple[str, ...]) -> NetworkRecords:
    return NetworkRecords(
        records=tuple(Record(name, addresses, shuffle=True, ttl=TASK_TTL) for name in dict.fromkeys(names)),
        pointers=tuple(Pointer(address, names[0]) for address in addresses),
    )
