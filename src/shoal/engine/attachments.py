"""Connecting and disconnecting containers to networks, and what is on a network now."""

from msgspec.structs import replace

from shoal.engine.discovery import Discovery
from shoal.engine.events import Events
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.networks import NodeNetworks
from shoal.engine.records import Records
from shoal.errors import Forbidden, InvalidArgument
from shoal.objects.container import Endpoint, EndpointSettings


class Attachments:
    """``docker network connect`` and ``disconnect``."""

    def __init__(
        self, *, records: Records, lifecycle: Lifecycle, networks: NodeNetworks, discovery: Discovery, events: Events
    ) -> None:
        self._records = records
        self._lifecycle = lifecycle
        self._networks = networks
        self._discovery = discovery
        self._events = events

    async def connect(self, network_id: str, name: str, ref: str, settings: EndpointSettings | None) -> None:
        """Put a container on a network, now if it runs, and at each of its later starts."""
        container = self._records.get(ref)
        wanted = replace(settings or EndpointSettings(), network_id=network_id)
        async with self._lifecycle.lock(container.id):
            container = self._records.get(container.id)
            mode = container.host_config.network_mode
            if mode == "host" or mode.startswith("container:"):
                raise InvalidArgument(
                    "container sharing network namespace with another container or host cannot be connected to any "
                    "other network"
                )
            if name in ("host", "none"):
                raise InvalidArgument(f"container cannot be connected to network {name}")
            if name in container.networks:
                raise Forbidden(f"endpoint with name {container.name} already exists in network {name}")
            networks = {key: value for key, value in container.networks.items() if key != "none"}
            container = replace(container, networks={**networks, name: wanted})
            if container.is_running:
                want = await self._lifecycle.want(container, name)
                sandbox = await self._networks.connect(container.id, want)
                container = await self._records.put(replace(container, sandbox=sandbox))
                await self._discovery.serve(container, sandbox, str(self._lifecycle.netns_path(sandbox)))
            await self._records.put(container)
        self._events.emit("network", "connect", network_id, {"container": container.id, "name": name, "type": "bridge"})

    async def disconnect(self, network_id: str, name: str, ref: str, *, force: bool) -> None:
        """Take a container off a network."""
        container = self._records.get(ref)
        async with self._lifecycle.lock(container.id):
            container = self._records.get(container.id)
            if name not in container.networks:
                raise Forbidden(f"container {container.id} is not connected to network {name}")
            if container.is_running and container.sandbox is not None:
                await self._discovery.leave(container.id, network_id)
                sandbox = await self._networks.disconnect(container.id, network_id)
                container = await self._records.put(replace(container, sandbox=sandbox))
                await self._discovery.serve(container, sandbox, str(self._lifecycle.netns_path(sandbox)))
            networks = {key: value for key, value in container.networks.items() if key != name}
            await self._records.put(replace(container, networks=networks))
        attributes = {"container": container.id, "name": name, "type": "bridge"}
        self._events.emit("network", "disconnect", network_id, attributes)

    def members(self, network_id: str) -> dict[str, tuple[str, Endpoint]]:
        """Who is on a network now: name and endpoint by sandbox id."""
        found: dict[str, tuple[str, Endpoint]] = {}
        for sandbox_id, sandbox in self._networks.sandboxes.items():
            container = self._records.find(sandbox_id)
            for endpoint in sandbox.endpoints:
                if endpoint.network_id == network_id:
                    found[sandbox_id] = (container.name if container else sandbox_id, endpoint)
        return found
