"""What the API and the agent ask about containers: create, find, rename, remove; running them is the lifecycle's."""

import asyncio
import logging
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
from shoal.engine.lifecycle import ROOT_LABEL, Lifecycle
from shoal.engine.records import Records
from shoal.engine.volumes import Volumes
from shoal.engine.waiting import Condition
from shoal.engine.whole import whole
from shoal.errors import Conflict, InvalidArgument, ShoalError
from shoal.objects.base import timestamp
from shoal.objects.container import Container, ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig
from shoal.objects.ids import container_id
from shoal.objects.randomname import random_name
from shoal.objects.results import Created, ExitResult

_log = logging.getLogger(__name__)


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
        """All of it or nothing; what is begun is not broken off in the middle of a call to the runtime."""
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
        except BaseException:
            self._records.unclaim(name)
            raise
        return await whole(self._make(container, parent, image.id), name=f"create {name}")

    async def _make(self, container: Container, parent: str, image_id: str) -> Container:
        key, host = container.id, container.host_config
        labels = {"shoal.name": container.name, ROOT_LABEL: str(self._containers_root)}
        try:
            await self._runtime.create(key, _blank(), parent=parent, labels=labels, image=image_id)
            wanted = [m for m in mounts.wanted(container.config, host) if m.type != "tmpfs"]
            own = {mount.destination for mount in wanted}
            wanted += [m for m in mounts.of_others(host, self._records.get) if m.destination not in own]
            container = replace(container, mounts=await self._volumes.resolve(wanted, container_id=key))
            await self._records.put(container)
        except BaseException:
            await self._unmake(container)
            raise
        self._events.of_container("create", container)
        return container

    async def _unmake(self, container: Container) -> None:
        """Take back a creation that failed; what cannot be now goes when shoald starts the next time."""
        self._records.drop(container)
        try:
            await self._runtime.remove(container.id)
            await self._volumes.release(container, anonymous=True)
        except ShoalError as error:
            _log.warning("not all of the container %s could be taken back: %s", container.name, error)

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
            try:
                container = await self._records.put(replace(self._records.get(container.id), name=name))
            except ShoalError:
                self._records.unclaim(name)
                raise
            self._records.unclaim(old)
            if container.is_running:
                await self._lifecycle.announce(container)
        self._events.of_container("rename", container, oldName=f"/{old}")

    async def remove(self, ref: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container; a running one only with ``force``, which kills it first."""
        container = self._records.get(ref)
        if force and container.is_running:
            # Not under the lock: whoever stops it may hold that for as long as its grace lasts.
            await self._lifecycle.kill(container.id, "KILL")
        async with self._lifecycle.lock(container.id):
            current = self._records.find(container.id)
            if current is None:
                return
            if (current.is_running or current.state.restarting) and not force:
                state = current.state.status
                advice = "stop the container before removing or force remove"
                why = "paused and must be unpaused first" if state == "paused" else f"{state}: {advice}"
                raise Conflict(f'cannot remove container "/{current.name}": container is {why}')
            if current.is_running:
                await self._lifecycle.kill(current.id, "KILL")
            await self._lifecycle.settle(current.id)
            await whole(self._remove(self._records.get(current.id), volumes=volumes), name=f"remove {current.name}")

    async def _remove(self, container: Container, *, volumes: bool) -> None:
        # The record goes when nothing is left that only it knows of: whatever happens in between, it can be done again.
        await self._lifecycle.discard(container)
        await self._runtime.remove(container.id)
        await asyncio.to_thread(shutil.rmtree, self._containers_root / container.id, True)
        await self._records.remove(container)
        await self._volumes.release(container, anonymous=volumes)
        self._lifecycle.forget(container)
        self._events.of_container("destroy", container)

    async def _auto_remove(self, container_id: str) -> None:
        if self._records.find(container_id) is None:
            return
        async with self._lifecycle.lock(container_id):
            container = self._records.find(container_id)
            if container is not None and not container.is_running:
                await self._lifecycle.settle(container_id)
                await whole(self._remove(container, volumes=True), name=f"remove {container.name}")

    def wait(self, ref: str, condition: str) -> "asyncio.Future[ExitResult]":
        """How the container ends: a future that is registered when this returns. Raises InvalidArgument."""
        try:
            wanted = Condition(condition or "not-running")
        except ValueError as error:
            raise InvalidArgument(f"invalid condition: {condition!r}") from error
        container = self._records.get(ref)
        if wanted is Condition.NOT_RUNNING and not container.is_running:
            done: asyncio.Future[ExitResult] = asyncio.get_running_loop().create_future()
            done.set_result(ExitResult(code=container.state.exit_code))
            return done
        return self._lifecycle.waiters.wait(container.id, wanted)


def _blank() -> OciSpec:
    """A specification that stands in until the container is started, when all is known that it depends on."""
    return ocispec.build(ocispec.SpecInput(args=("true",), cgroup_path="/shoal/none"), ocispec.SpecHost())
