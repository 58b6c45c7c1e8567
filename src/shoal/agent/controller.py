"""What a task's steps are on this node: the container of the task, through the engine."""

import asyncio
import logging
from typing import Any, Protocol

from shoal.agent.container_spec import container_config, host_config, network_settings
from shoal.aio.tasks import cancel, spawn
from shoal.engine.containers import Containers
from shoal.engine.health import Health
from shoal.engine.images import NodeImages
from shoal.engine.lifecycle import Lifecycle
from shoal.errors import FailedPrecondition, NotFound, NotModified
from shoal.objects.container import Container
from shoal.objects.results import ExitResult
from shoal.objects.service import PortConfig
from shoal.objects.task import ContainerStatus, PortStatus, Task

_log = logging.getLogger(__name__)


class Controller(Protocol):
    """One task on this node. Each step may be taken again after an interruption and finds what is there."""

    async def prepare(self) -> None:
        """Have everything ready to start: image, container. Raises ShoalError when the task can never run here."""
        ...

    async def start(self) -> None:
        """Run it; returns once it runs and, where it has a health check, is healthy. Raises ShoalError."""
        ...

    async def wait(self) -> ExitResult:
        """Return once it has ended."""
        ...

    async def shutdown(self) -> None:
        """Stop it within its grace period; one that does not run is no error."""
        ...

    async def remove(self) -> None:
        """Remove all that there is of it."""
        ...

    def container_status(self) -> ContainerStatus | None:
        """What is observed of the container."""
        ...

    def port_status(self) -> PortStatus:
        """The ports of this node that it has."""
        ...


class ContainerController:
    """A task that is a container."""

    def __init__(
        self, *, task: Task, containers: Containers, lifecycle: Lifecycle, images: NodeImages, health: Health
    ) -> None:
        self._task = task
        self._containers = containers
        self._lifecycle = lifecycle
        self._images = images
        self._health = health

    def _find(self) -> Container | None:
        return next((c for c in self._containers.list() if c.task_id == self._task.id), None)

    def _container(self) -> Container:
        found = self._find()
        if found is None:
            raise NotFound(f"the container of task {self._task.id} is gone")
        return found

    async def prepare(self) -> None:
        spec = self._task.spec.container_spec
        if self._find() is not None or spec is None:
            return
        await self._images.ensure(spec.image or "")
        await self._containers.create_for_task(
            self._task.id,
            self._task.full_name,
            container_config(self._task),
            host_config(self._task),
            network_settings(self._task),
            on_mesh=any(a.network.is_ingress for a in self._task.networks_attachments or []),
        )

    async def start(self) -> None:
        container = self._container()
        try:
            await self._lifecycle.start(container.id)
        except NotModified:
            _log.debug("task %s runs already", self._task.id)
        await self._health.healthy(container.id)

    async def wait(self) -> ExitResult:
        container = self._container()
        ended = self._containers.wait(container.id, "not-running")
        unhealthy = spawn(self._health.unhealthy(container.id), name=f"health of {container.name}")
        try:
            either: list[asyncio.Future[Any]] = [ended, unhealthy]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if ended.done() or not unhealthy.result():
                return await ended
        finally:
            ended.cancel()
            await cancel(unhealthy)
        await self.shutdown()
        raise FailedPrecondition("task: unhealthy container")

    async def shutdown(self) -> None:
        container = self._find()
        if container is None:
            return
        spec = self._task.spec.container_spec
        grace = spec.stop_grace_period if spec else None
        seconds = None if grace is None else max(round(grace / 1e9), 0)
        try:
            await self._lifecycle.stop(container.id, timeout=seconds)
        except NotModified:
            return

    async def remove(self) -> None:
        container = self._find()
        if container is not None:
            try:
                await self._containers.remove(container.id, force=True, volumes=True)
            except NotFound as error:
                _log.debug("the container of task %s: %s", self._task.id, error)

    def container_status(self) -> ContainerStatus | None:
        container = self._find()
        if container is None:
            return None
        return ContainerStatus(
            container_id=container.id, pid=container.state.pid or None, exit_code=container.state.exit_code
        )

    def port_status(self) -> PortStatus:
        container = self._find()
        if container is None or container.sandbox is None or not container.sandbox.ports:
            return PortStatus()
        return PortStatus(
            ports=[
                PortConfig(
                    protocol=port.protocol,
                    target_port=port.container_port,
                    published_port=port.host_port,
                    publish_mode="host",
                )
                for port in container.sandbox.ports
            ]
        )
