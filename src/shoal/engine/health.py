"""Health checks: one loop a running container that has one, whose results are kept in its record."""

import asyncio
import logging
import signal
from collections import defaultdict
from datetime import timedelta

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.engine.events import Events
from shoal.engine.execs import Execs
from shoal.engine.healthcheck import HEALTHY, UNHEALTHY, Check, after, check_of
from shoal.engine.records import Records
from shoal.errors import Conflict, FailedPrecondition, NotFound, ShoalError
from shoal.objects.base import parse_time, timestamp
from shoal.objects.container import Container, HealthLog
from shoal.objects.container import Health as HealthState
from shoal.objects.exec import ExecConfig

_log = logging.getLogger(__name__)
_OUTPUT_KEPT = 16 << 10


class Health:
    """Probes what :meth:`watch` was called for, until :meth:`forget`."""

    def __init__(self, *, records: Records, execs: Execs, events: Events, clock: Clock) -> None:
        self._records = records
        self._execs = execs
        self._events = events
        self._clock = clock
        # By container: since when it runs, by the monotonic clock.
        self._running: dict[str, float] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def watch(self, container: Container) -> None:
        """The container runs, now or since before a restart of shoald: probe it, if it has a check."""
        age = (self._clock.now() - parse_time(container.state.started_at)).total_seconds()
        self._running[container.id] = self._clock.monotonic() - max(age, 0)
        check = check_of(container.config)
        if check is None:
            return
        await cancel(self._loops.pop(container.id, None))
        if container.state.health is None:
            await self._keep(container.id, HealthState())
        self._loops[container.id] = spawn(self._probe_all(container.id, check), name=f"health {container.name}")

    def forget(self, container_id: str) -> None:
        """The container does not run any more, whatever its record still says."""
        self._running.pop(container_id, None)
        loop = self._loops.pop(container_id, None)
        if loop is not None:
            loop.cancel()
        self._wake(container_id)

    async def stop(self) -> None:
        """shoald ends."""
        await cancel(*self._loops.values())

    async def healthy(self, container_id: str) -> None:
        """Return once the container is healthy, at once where it runs and has no check.

        :raises FailedPrecondition: it is unhealthy, or has ended before it was healthy.
        """
        while True:
            container = self._records.find(container_id)
            if container is None or container_id not in self._running:
                raise FailedPrecondition("the container ended before it was healthy")
            health = container.state.health
            if check_of(container.config) is None or (health is not None and health.status == HEALTHY):
                return
            if health is not None and health.status == UNHEALTHY:
                raise FailedPrecondition("unhealthy container")
            await self._changed[container_id].wait()

    async def unhealthy(self, container_id: str) -> bool:
        """True once the container is found unhealthy, False once it has ended without."""
        while True:
            container = self._records.find(container_id)
            if container is None or container_id not in self._running:
                return False
            if container.state.health is not None and container.state.health.status == UNHEALTHY:
                return True
            await self._changed[container_id].wait()

    async def _probe_all(self, container_id: str, check: Check) -> None:
        while True:
            container = self._records.get(container_id)
            health = container.state.health or HealthState()
            await self._clock.sleep(check.pause(health, self._running_for(container)))
            container = self._records.get(container_id)
            if container.state.paused:
                continue
            running_for = self._running_for(container)
            result = await self._probe(container, check)
            if result is None:
                return
            await self._keep(container_id, after(container.state.health or HealthState(), result, check, running_for))

    async def _probe(self, container: Container, check: Check) -> HealthLog | None:
        """One probe; None when the container ends meanwhile."""
        started = self._clock.now()
        config = ExecConfig(cmd=list(check.command), attach_stdout=True, attach_stderr=True)
        try:
            exec_id = await self._execs.exec_create(container.id, config)
        except (NotFound, Conflict) as error:
            _log.debug("no probe of %s: %s", container.name, error)
            return None
        try:
            code, output = await self._run(exec_id, check.timeout)
        except ShoalError as error:
            code, output = -1, str(error)
        finally:
            self._execs.drop(exec_id)
        if container.id not in self._running:
            return None
        ended = max(self._clock.now(), started + timedelta(microseconds=1))
        return HealthLog(start=timestamp(started), end=timestamp(ended), exit_code=code, output=output)

    async def _run(self, exec_id: str, seconds: float) -> tuple[int, str]:
        streams = await self._execs.exec_start(exec_id, tty=False, detach=False)
        assert streams is not None
        output = bytearray()
        try:
            async with asyncio.timeout(seconds):
                async for _, data in streams:
                    if len(output) < _OUTPUT_KEPT:
                        output += data
                code = (await self._execs.exec_inspect(exec_id)).exit_code
        except TimeoutError:
            await self._execs.kill(exec_id, signal.SIGKILL)
            return -1, f"Health check exceeded timeout ({_go_duration(seconds)})"
        finally:
            await streams.aclose()
        return -1 if code is None else code, output.decode(errors="replace")

    async def _keep(self, container_id: str, health: HealthState) -> None:
        container = self._records.find(container_id)
        if container is None or container_id not in self._running:
            return
        old = container.state.health
        container = replace(container, state=replace(container.state, health=health))
        await self._records.observe(container)
        self._wake(container_id)
        if old is not None and old.status != health.status:
            self._events.of_container(f"health_status: {health.status}", container)

    def _running_for(self, container: Container) -> float:
        return self._clock.monotonic() - self._running.get(container.id, self._clock.monotonic())

    def _wake(self, container_id: str) -> None:
        self._changed.pop(container_id, asyncio.Event()).set()


def _go_duration(seconds: float) -> str:
    """As Go prints a duration of whole or broken seconds: ``1m30s``, ``500ms``."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{hours}h" if hours else ""
    text += f"{minutes}m" if minutes or hours else ""
    return f"{text}{rest:g}s"
