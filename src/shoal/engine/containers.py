"""What the API and the agent ask about containers: create, find, rename, remove; running them is the lifecycle's."""

import asyncio
import shutil
from pathlib import Path

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.container import ocispec
from shoal.container.images import ImageStore
from shoal.container.oci import OciSpec
from shoal.container.runtime import Runtime
from shoal.engine import create, mounts
from shoal.engine.events import Events
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.records import Records
from shoal.engine.volumes import Volumes
from shoal.engine.waiting import Condition
from shoal.errors import Conflict, InvalidArgument, NotFound
from shoal.objects.base import timestamp
from shoal.objects.container import Container, ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig
from shoal.objects.ids import container_id
from shoal.objects.randomname import random_name
from shoal.objects.results import Created, ExitResult


class Containers:
    """The containers of this node; see :class:`shoal.api.backends_containers.ContainerBackend`."""

    def __init__(
        self,
        *,
        records: Records,
        lifecycle: Lifecycle,
        runtime: Runtime,
        images: ImageStore,
        volumes: Volumes,
        networks: create.NetworkNames,
        events: Events,
        clock: Clock,
        containers_root: Path,
        spec_host: ocispec.SpecHost,
    ) -> None:
        self._records = records
        self._lifecycle = lifecycle
        self._runtime = runtime
        self._images = images
        self._volumes = volumes
        self._networks = networks
        self._events = events
        self._clock = clock
        self._containers_root = containers_root
        self._spec_host = spec_host
        lifecycle.on_auto_remove = self._auto_remove

    def get(self, ref: str) -> Container:
        """By id, name or prefix. Raises NotFound, InvalidArgument."""
        return self._records.get(ref)

    def list(self) -> list[Container]:
        """Every container, the newest first."""
        return self._records.all()

    async def create(
        self,
        name: str | None,
        config: ContainerConfig,
        host: HostConfig,
        networking: NetworkingConfig,
        platform: str | None = None,
    ) -> Created:
        """A new container. Raises NotFound (``No such image``), Conflict (the name), InvalidArgument."""
        if not config.image:
            raise InvalidArgument("config cannot be empty in order to create a container")
        host = create.checked(host)
        networks = create.networks_of(host, networking, self._networks)
        container = await self._create(name, config, host, networks)
        return Created(id=container.id)

    async def create_for_task(
        self,
        task_id: str,
        name: str,
        config: ContainerConfig,
        host: HostConfig,
        networks: dict[str, EndpointSettings],
        *,
        on_mesh: bool,
    ) -> Container:
        """A task's container, on networks that the swarm has given it addresses on; without, on the node's bridge."""
        host = create.checked(host)
        networks = networks or create.networks_of(host, NetworkingConfig(), self._networks)
        return await self._create(name, config, host, networks, task_id=task_id, on_mesh=on_mesh)

    async def _create(
        self,
        name: str | None,
        config: ContainerConfig,
        host: HostConfig,
        networks: dict[str, EndpointSettings],
        *,
        task_id: str | None = None,
        on_mesh: bool = False,
    ) -> Container:
        image = await self._images.inspect(config.image)
        key = container_id()
        name = name.removeprefix("/") if name else random_name(self._records.is_taken)
        self._records.claim(name, key)
        try:
            creation = create.Creation(
                name=name,
                config=config,
                host=host,
                image=image,
                networks=networks,
                mounts=(),
                created=timestamp(self._clock.now()),
                data_folder=self._containers_root,
                container_id=key,
                task_id=task_id,
                on_mesh=on_mesh,
            )
            container = create.record(creation)
            parent = await self._images.unpack(image)
            await self._runtime.create(key, _blank(), parent=parent, labels={"shoal.name": name}, image=image.id)
            wanted = [m for m in mounts.wanted(container.config, host) if m.type != "tmpfs"]
            own = {mount.destination for mount in wanted}
            wanted += [m for m in mounts.of_others(host, self._records.get) if m.destination not in own]
            points = await self._volumes.resolve(wanted, container_id=key)
            container = await self._records.put(replace(container, mounts=points))
        except BaseException:
            self._records.unclaim(name)
            await self._runtime.remove(key)
            raise
        self._events.of_container("create", container)
        return container

    async def rename(self, ref: str, name: str) -> None:
        """Give it another name. Raises Conflict, InvalidArgument."""
        container = self._records.get(ref)
        name = name.removeprefix("/")
        if not name:
            raise InvalidArgument("Neither old nor new names may be empty")
        if name == container.name:
            raise InvalidArgument("Renaming a container with the same name as its current name")
        async with self._lifecycle.lock(container.id):
            self._records.claim(name, container.id)
            old = container.name
            container = await self._records.put(replace(self._records.get(container.id), name=name))
            self._records.unclaim(old)
        self._events.of_container("rename", container, oldName=f"/{old}")

    async def remove(self, ref: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container; a running one only with ``force``, which kills it first."""
        container = self._records.get(ref)
        async with self._lifecycle.lock(container.id):
            current = self._records.find(container.id)
            if current is None:
                return
            if current.is_running and not force:
                state = "paused" if current.state.paused else "running"
                advice = "unpause and then stop" if current.state.paused else "stop"
                raise Conflict(
                    f'cannot remove container "{current.name}": container is {state}: '
                    f"{advice} the container before removing or force remove"
                )
            if current.is_running:
                gone = self._lifecycle.waiters.wait(current.id, Condition.NEXT_EXIT)
                await self._records.put(replace(current, has_been_stopped=True))
                try:
                    await self._lifecycle.kill(current.id, "KILL")
                except (NotFound, Conflict):
                    await gone
            await self._lifecycle.settle(current.id)
            await self._remove(self._records.get(current.id), volumes=volumes)

    async def _remove(self, container: Container, *, volumes: bool) -> None:
        await self._lifecycle.discard(container)
        await self._runtime.remove(container.id)
        await self._records.remove(container)
        await self._volumes.release(container, anonymous=volumes)
        await asyncio.to_thread(shutil.rmtree, self._containers_root / container.id, True)
        self._lifecycle.forget(container.id)
        self._events.of_container("destroy", container)

    async def _auto_remove(self, container_id: str) -> None:
        async with self._lifecycle.lock(container_id):
            container = self._records.find(container_id)
            if container is not None and not container.is_running:
                await self._remove(container, volumes=True)

    async def stop(self, ref: str, *, timeout: int | None = None, signal: str | None = None) -> None:
        """See :meth:`Lifecycle.stop`; one that does not run is NotModified."""
        await self._lifecycle.stop(ref, timeout=timeout, signal_name=signal)

    def wait(self, ref: str, condition: str) -> "asyncio.Future[ExitResult]":
        """How the container ends: a future that is registered when this returns. Raises InvalidArgument."""
        try:
            wanted = Condition(condition or "not-running")
        except ValueError as error:
            raise InvalidArgument(f"invalid condition: {condition!r}") from error
        container = self._records.get(ref)
        if wanted is Condition.NOT_RUNNING and not container.is_running and container.state.status != "created":
            done: asyncio.Future[ExitResult] = asyncio.get_running_loop().create_future()
            done.set_result(ExitResult(code=container.state.exit_code))
            return done
        return self._lifecycle.waiters.wait(container.id, wanted)


def _blank() -> OciSpec:
    """A specification that stands in until the container is started, when all is known that it depends on."""
    return ocispec.build(ocispec.SpecInput(args=("true",), cgroup_path="/shoal/none"), ocispec.SpecHost())
