"""What the keeper does about each command: sessions and names, each change written to the state folder before the
reply goes out, and all of it restored from there by the next keeper."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import assert_never

import msgspec

from shoal.aio.clock import Clock
from shoal.errors import Conflict, InvalidArgument, NotFound, ShoalError
from shoal.keeper.session import Session
from shoal.keeper.sockets import open_dns_sockets
from shoal.keeper.state import Folder
from shoal.network.dns.server import Resolver
from shoal.version import VERSION
from shoal.wire.keeper import (
    AnyCommand,
    Attach,
    Close,
    Drain,
    Hello,
    NetworkRecords,
    Open,
    Ports,
    Sandbox,
    Serve,
    SetNetworks,
    SetZones,
    Shutdown,
    Status,
    Stdio,
    Stop,
    Zone,
)

_log = logging.getLogger(__name__)


class KeeperService:
    """The keeper's whole substance; needs a running loop. ``stopping`` is set by the command to shut down."""

    def __init__(self, *, state: Path, clock: Clock, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.stopping = asyncio.Event()
        self._now_ns = now_ns
        self._writers = ThreadPoolExecutor(4, thread_name_prefix="log")
        self._namespaces = ThreadPoolExecutor(1, thread_name_prefix="netns")  # entered by this thread alone
        self._sessions: dict[str, Session] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._resolver = Resolver(clock=clock)
        self._saved_stdio = Folder(state / "containers", Stdio)
        self._saved_sandboxes = Folder(state / "sandboxes", Sandbox)
        self._saved_networks = Folder(state / "networks", NetworkRecords)

    async def restore(self) -> None:
        """Go on with what the keeper before this one served; what is not there any more is dropped."""
        self._resolver.set_networks(self._saved_networks.load())
        for sandbox_id, sandbox in self._saved_sandboxes.load().items():
            try:
                await self._serve(sandbox)
            except ShoalError as error:
                _log.warning("sandbox %s is not served any more: %s", sandbox_id, error)
                await self._saved_sandboxes.put({sandbox_id: None})
        for container_id, stdio in self._saved_stdio.load().items():
            session = self._session(stdio)
            try:
                session.open(create=False)
            except ShoalError as error:
                _log.warning("container %s is not read any more: %s", container_id, error)
                await self._saved_stdio.put({container_id: None})
            else:
                self._sessions[container_id] = session

    async def execute(self, command: AnyCommand) -> Status | Ports | None:
        """Carry out one command. Raises :class:`ShoalError`, OSError when the state folder cannot be written."""
        match command:
            case Hello():
                return self._status()
            case Shutdown():
                self.stopping.set()
            case Open(stdio):
                await self._open(stdio)
            case Drain(container_id, timeout):
                await self.session(container_id).drain(timeout)
            case Close(container_id):
                await self._close(container_id)
            case Serve(sandbox):
                return await self._serve(sandbox)
            case SetZones(zones):
                await self._set_zones(zones)
            case SetNetworks(networks):
                self._resolver.set_networks(networks)
                await self._saved_networks.put(networks)
            case Stop(sandbox_id):
                self._sandboxes.pop(sandbox_id, None)
                await self._resolver.stop(sandbox_id)
                await self._saved_sandboxes.put({sandbox_id: None})
            case Attach():
                raise InvalidArgument("a connection that is attached already takes no commands")
            case _:
                assert_never(command)
        return None

    def session(self, container_id: str) -> Session:
        """The streams of that container. Raises :class:`NotFound`."""
        session = self._sessions.get(container_id)
        if session is None:
            raise NotFound(f"the streams of {container_id} are not open")
        return session

    async def close(self) -> None:
        """Let go of everything, so that the next keeper can take it over."""
        for session in self._sessions.values():
            await session.close(ended=session.ended)
        await self._resolver.close()
        self._writers.shutdown()
        self._namespaces.shutdown()

    def _status(self) -> Status:
        return Status(
            pid=os.getpid(),
            version=VERSION,
            containers=tuple(self._sessions),
            sandboxes=tuple(self._sandboxes),
            networks=self._resolver.networks,
        )

    def _session(self, stdio: Stdio) -> Session:
        return Session(stdio, executor=self._writers, now_ns=self._now_ns)

    async def _open(self, stdio: Stdio) -> None:
        before = self._sessions.get(stdio.container_id)
        if before is not None and not before.ended:
            if before.stdio != stdio:
                raise Conflict(f"the streams of {stdio.container_id} are open already, and others")
            return
        session = self._session(stdio)
        if before is not None:
            await before.close(ended=True)
        session.open()
        self._sessions[stdio.container_id] = session
        await self._saved_stdio.put({stdio.container_id: stdio})

    async def _close(self, container_id: str) -> None:
        session = self._sessions.pop(container_id, None)
        if session is not None:
            await session.close(ended=True)
            session.remove_fifos()
        await self._saved_stdio.put({container_id: None})

    async def _serve(self, sandbox: Sandbox) -> Ports:
        before = self._sandboxes.get(sandbox.sandbox_id)
        if before is not None:
            if msgspec.structs.replace(before, zone=sandbox.zone, udp_port=0, tcp_port=0) == msgspec.structs.replace(
                sandbox, udp_port=0, tcp_port=0
            ):
                await self._set_zones({sandbox.sandbox_id: sandbox.zone})
                return Ports(before.udp_port, before.tcp_port)
            await self._resolver.stop(sandbox.sandbox_id)
        loop = asyncio.get_running_loop()
        udp, tcp = await loop.run_in_executor(self._namespaces, open_dns_sockets, sandbox)
        ports = Ports(udp.getsockname()[1], tcp.getsockname()[1])
        try:
            await self._resolver.serve(sandbox.sandbox_id, sandbox.zone, udp, tcp)
        except ShoalError:
            udp.close()
            tcp.close()
            raise
        served = msgspec.structs.replace(sandbox, udp_port=ports.udp, tcp_port=ports.tcp)
        self._sandboxes[sandbox.sandbox_id] = served
        await self._saved_sandboxes.put({sandbox.sandbox_id: served})
        return ports

    async def _set_zones(self, zones: dict[str, Zone]) -> None:
        self._resolver.update(zones)
        changed: dict[str, Sandbox | None] = {}
        for sandbox_id, zone in zones.items():
            changed[sandbox_id] = self._sandboxes[sandbox_id] = msgspec.structs.replace(
                self._sandboxes[sandbox_id], zone=zone
            )
        await self._saved_sandboxes.put(changed)
