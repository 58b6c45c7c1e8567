"""Connecting and disconnecting containers to networks, and what is on a network now."""

from msgspec.structs import replace

from shoal.engine.discovery import Discovery
from shoal.engine.events import Events
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.networks import NodeNetworks
from shoal.engine.records import Records
from shoal.engine.whole import whole
from shoal.errors import Forbidden, InvalidArgument, ShoalError
from shoal.objects.container import Container, Endpoint, EndpointSettings, Sandbox


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
            await whole(self._connect(container.id, name, wanted), name=f"connect {container.name}")
        self._tell("connect", container, network_id, name)

    async def _connect(self, container_id: str, name: str, wanted: EndpointSettings) -> None:
        container = self._records.get(container_id)
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
        networks = {key: value for key, value in container.networks.items() if key != "none"} | {name: wanted}
        if not container.is_running:
            await self._records.put(replace(container, networks=networks))
            return
        try:
            want = await self._lifecycle.want(replace(container, networks=networks), name)
            sandbox = await self._networks.connect(container.id, want)
        except ShoalError:
            await self._lifecycle.detach(container, wanted.network_id)
            raise
        await self._keep(container_id, networks, sandbox)

    async def _keep(self, container_id: str, networks: dict[str, EndpointSettings], sandbox: Sandbox) -> None:
        # As it is now: it may have ended meanwhile.
        container = await self._records.put(
            replace(self._records.get(container_id), networks=networks, sandbox=sandbox)
        )
        if container.is_running:
            await self._lifecycle.announce(container)

    async def disconnect(self, network_id: str, name: str, ref: str, *, force: bool) -> None:
        """Take a container off a network."""
        container = self._records.get(ref)
        async with self._lifecycle.lock(container.id):
            await whole(self._disconnect(container.id, network_id, name), name=f"disconnect {container.name}")
        self._tell("disconnect", container, network_id, name)

    async def _disconnect(self, container_id: str, network_id: str, name: str) -> None:
        container = self._records.get(container_id)
        if name not in container.networks:
            raise Forbidden(f"container {container.id} is not connected to network {name}")
        networks = {key: value for key, value in container.networks.items() if key != name}
        if not container.is_running or container.id not in self._networks.sandboxes:
            await self._records.put(replace(container, networks=networks))
            return
        await self._discovery.leave(container.id, network_id)
        sandbox = await self._networks.disconnect(container.id, network_id)
        await self._lifecycle.detach(container, network_id)
        await self._keep(container_id, networks, sandbox)

    def _tell(self, action: str, container: Container, network_id: str, name: str) -> None:
        kind = "bridge" if self._networks.is_local(network_id) else "overlay"
        self._events.emit("network", action, network_id, {"container": container.id, "name": name, "type": kind})

    def members(self, network_id: str) -> dict[str, tuple[str, Endpoint]]:
        """Who is on a network now: name and endpoint by sandbox id."""
        found: dict[str, tuple[str, Endpoint]] = {}
        for sandbox_id, sandbox in self._networks.sandboxes.items():
            container = self._records.find(sandbox_id)
            for endpoint in sandbox.endpoints:
                if endpoint.network_id == network_id:
                    found[sandbox_id] = (container.name if container else sandbox_id, endpoint)
        return found
