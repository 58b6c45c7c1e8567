"""A task on a node that is not there: each step does what the test says."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from shoal.objects.results import ExitResult
from shoal.objects.task import ContainerStatus, PortStatus


@dataclass
class FakeController:
    """A :class:`shoal.agent.controller.Controller`. ``fails`` has errors by the step's name, each raised once; ``held``
    events that a step waits for."""

    fails: dict[str, Exception] = field(default_factory=dict)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    prepared: bool = False
    running: bool = False
    removed: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    code: int = 0

    async def _step(self, name: str) -> None:
        self.calls[name] += 1
        if (error := self.fails.pop(name, None)) is not None:
            raise error
        if (event := self.held.get(name)) is not None:
            await event.wait()
        await asyncio.sleep(0)

    async def prepare(self) -> None:
        await self._step("prepare")
        self.prepared = True

    async def start(self) -> None:
        assert self.prepared
        await self._step("start")
        self.running = True

    async def wait(self) -> ExitResult:
        await self._step("wait")
        await self.ended.wait()
        self.running = False
        return ExitResult(code=self.code)

    async def shutdown(self) -> None:
        await self._step("shutdown")
        self.running = False

    async def remove(self) -> None:
        await self._step("remove")
        self.running, self.removed = False, True

    def end(self, code: int) -> None:
        """The task ends by itself."""
        self.code = code
        self.ended.set()

    def container_status(self) -> ContainerStatus | None:
        return None

    def port_status(self) -> PortStatus:
        return PortStatus()
