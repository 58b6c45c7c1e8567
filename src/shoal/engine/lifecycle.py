"""Running containers: start, stop, what follows an exit, and taking over what runs after a restart of shoald.

A container's process is watched by a task of its own, which outlasts restarts of the runtime. When it has ended, its
output is drained into the log, the record says so, waiters are woken, and only then its task and sandbox are cleared
away: nobody who waits for a result has to wait for the cleaning.
"""

import asyncio
import logging
import secrets
import shutil
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.container import cgroups, oci, ocispec, rootfs, user
from shoal.container.ocispec import SpecHost
from shoal.container.runtime import ExitStatus, ProcessStatus, Runtime, Stdio
from shoal.engine import copies, files, mounts
from shoal.engine.create import log_size, published
from shoal.engine.discovery import Discovery, answers
from shoal.engine.events import Events
from shoal.engine.networks import NodeNetworks, Want
from shoal.engine.records import Records
from shoal.engine.signals import parse_signal
from shoal.engine.spec import cgroup_path, spec_input
from shoal.engine.startfailure import blamed, exit_code
from shoal.engine.volumes import Volumes
from shoal.engine.waiting import Condition, Waiters
from shoal.engine.whole import regardless, whole
from shoal.errors import (
    Conflict,
    FailedPrecondition,
    Internal,
    NotFound,
    NotModified,
    ShoalError,
    Unavailable,
)
from shoal.keeper.client import KeeperClient
from shoal.objects.base import ZERO_TIME, parse_time, timestamp
from shoal.objects.container import Container, ContainerState, Sandbox
from shoal.objects.results import ExitResult
from shoal.wire.keeper import LogDriver, LogOptions
from shoal.wire.keeper import Stdio as KeeperStdio

_log = logging.getLogger(__name__)

# Of the runtime's containers: which daemon's it is, by where that keeps them.
ROOT_LABEL = "shoal.root"

# Of a container's name, in that of its network namespace: a file's name has at most 255 bytes, and an id may follow.
_NETNS_NAME = 200
_STOP_SECONDS = 10
# How long a process may take to be gone after SIGKILL, in seconds.
_KILL_SECONDS = 10
# Before a container that cannot be watched is tried again, in seconds.
_WATCH_PAUSE = 0.2
# Between restarts by a container's own policy: 100 ms, doubled each time, and from the beginning after 10 s of running.
_BACKOFF_FIRST, _BACKOFF_LAST, _BACKOFF_RESET = 0.1, 60.0, 10.0


class Attacher(Protocol):
    """Gets plain containers onto the swarm's attachable networks."""

    async def attach(self, container: Container, network_id: str) -> Sequence[str]:
        """The addresses that the swarm gives, ``10.0.0.4/24``; the network is here when this returns."""
        ...

    async def detach(self, container_id: str, network_id: str | None = None) -> None:
        """The container has left that network, or all of the swarm's; one that was on none is no error."""
        ...


class Lifecycle:
    """Starts and ends the containers of a node."""

    def __init__(
        self,
        *,
        records: Records,
        volumes: Volumes,
        runtime: Runtime,
        networks: NodeNetworks,
        discovery: Discovery,
        keeper: KeeperClient,
        resolver: files.HostResolver,
        events: Events,
        clock: Clock,
        spec_host: SpecHost,
        containers_root: Path,
        stdio_root: Path,
        netns_root: Path,
        cgroup_parent: str,
    ) -> None:
        self._records = records
        self._volumes = volumes
        self._runtime = runtime
        self._networks = networks
        self._discovery = discovery
        self._keeper = keeper
        self._resolver = resolver
        self._events = events
        self._clock = clock
        self._spec_host = spec_host
        self._containers_root = containers_root
        self._stdio_root = stdio_root
        self._netns_root = netns_root
        self.cgroup_parent = cgroup_parent
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._cleanups: dict[str, asyncio.Task[None]] = {}
        self._restarts: dict[str, asyncio.Task[None]] = {}
        self._held_restarts: list[Container] | None = None
        self._stops: set[asyncio.Task[Any]] = set()
        self._removals: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._backoff: dict[str, float] = {}
        self.waiters = Waiters()
        self.on_auto_remove: Callable[[str], Coroutine[Any, Any, None]] | None = None
        self.attacher: Attacher | None = None
        self.on_started: list[Callable[[Container], Awaitable[None]]] = []
        self.on_ended: list[Callable[[str], None]] = []

    def lock(self, container_id: str) -> asyncio.Lock:
        """Held over every change of a container that a user asks for."""
        return self._locks[container_id]

    def is_being_changed(self, container_id: str) -> bool:
        """Whether somebody holds its lock at the moment."""
        lock = self._locks.get(container_id)
        return lock is not None and lock.locked()

    def netns_path(self, sandbox: Sandbox) -> Path:
        """Where a sandbox's network namespace is entered."""
        return self._netns_root / sandbox.netns

    def forget(self, container: Container) -> None:
        """The container is removed: nothing about it is kept."""
        self._locks.pop(container.id, None)
        self._backoff.pop(container.id, None)
        self.waiters.removed(container.id, ExitResult(code=container.state.exit_code))

    async def start(self, ref: str) -> None:
        """Run a container. Raises NotModified when it runs, Conflict when it is paused, and what keeps it from
        running, with the runtime's own words."""
        container = self._records.get(ref)
        async with self.lock(container.id):
            container = self._records.get(container.id)
            if container.state.paused:
                raise Conflict("cannot start a paused container, try unpause instead")
            if container.is_running:
                raise NotModified(f"container {container.id} is running already")
            await whole(self._start_anew(container.id), name=f"start {container.name}")

    async def _start_anew(self, container_id: str) -> None:
        """Start it because somebody says so: what its policy has counted so far does not matter any more."""
        await self.settle(container_id)
        self._backoff.pop(container_id, None)
        container = self._records.get(container_id)
        await self._start(await self._records.put(replace(container, has_been_stopped=False, restart_count=0)))

    async def discard(self, container: Container) -> None:
        """Let go of what a container that does not run still holds: streams that somebody had attached to."""
        await self._keeper.close(container.id)
        await asyncio.to_thread(shutil.rmtree, self._stdio_root / container.id, True)

    async def cleared(self, container_id: str) -> None:
        """Wait until what an earlier exit left is cleared away."""
        if (cleanup := self._cleanups.get(container_id)) is not None:
            await asyncio.wait([cleanup])

    async def settle(self, container_id: str) -> bool:
        """Wait as :meth:`cleared`, and call off a restart that is due; whether there was one. Under the lock only."""
        await self.cleared(container_id)
        restart = self._restarts.pop(container_id, None)
        await cancel(restart)
        return restart is not None

    async def _start(self, container: Container) -> None:
        try:
            pid = await self._launch(container)
            container = self._records.get(container.id)
            state = ContainerState(
                status="running",
                running=True,
                pid=pid,
                started_at=timestamp(self._clock.now()),
                finished_at=container.state.finished_at,
            )
            container = await self._records.put(replace(container, state=state))
            await asyncio.to_thread(copies.keep, self._containers_root, container)
        except BaseException as error:
            await self._give_up(container.id, error)
            raise blamed(error) from error
        self._watches[container.id] = spawn(self._watch(container.id), name=f"watch {container.name}")
        self._events.of_container("start", container)
        for tell in self.on_started:
            await tell(container)

    async def _launch(self, container: Container) -> int:
        # All of them to their end, also when one fails: what is cleared away then must not come to be afterwards.
        plugged, opened, mounted = await asyncio.gather(
            self._plug(container), self.open_stdio(container), self._volumes.mount(container), return_exceptions=True
        )
        for result in (plugged, opened, mounted):
            if isinstance(result, BaseException):
                raise result
        assert not isinstance(plugged, BaseException)
        container, network = plugged
        spec = await self._spec(container, network)
        try:
            pid = await self._runtime.create_task(container.id, self._stdio(container), spec=spec)
        except Conflict:
            # An earlier one was left when the runtime was away.
            await self._delete_task(container.id)
            pid = await self._runtime.create_task(container.id, self._stdio(container), spec=spec)
        await self._runtime.start(container.id)
        return pid

    async def _give_up(self, container_id: str, error: BaseException) -> None:
        """Clear away what a start that failed has made, and keep the reason in the record."""
        container = self._records.get(container_id)
        await self._clear(container)
        text = str(error)
        state = replace(
            container.state,
            status="created" if container.state.started_at == ZERO_TIME else "exited",
            running=False,
            restarting=False,
            pid=0,
            exit_code=exit_code(text),
            error=text,
        )
        container = await self._records.observe(replace(self._records.get(container_id), state=state))
        self._remove_later(container)

    def _remove_later(self, container: Container) -> None:
        """Have a container with ``--rm`` removed. In a task of its own: whoever starts or stops one holds the lock that
        a removal needs."""
        if container.host_config.auto_remove and self.on_auto_remove is not None:
            removing = spawn(self.on_auto_remove(container.id), name=f"remove {container.name}")
            self._removals.add(removing)
            removing.add_done_callback(self._removals.discard)

    async def _plug(self, container: Container) -> tuple[Container, str]:
        """The container's sandbox, and the network namespace for the runtime."""
        mode = container.host_config.network_mode
        if mode == "host":
            return container, ocispec.HOST
        if mode.startswith("container:"):
            other = self._records.get(mode.partition(":")[2])
            if not other.is_running:
                raise Conflict(f"cannot join network of a non running container: {other.id}")
            return container, f"/proc/{other.state.pid}/ns/net"
        wants = [await self.want(container, name) for name in container.networks if name != "none"]
        sandbox = await self._networks.plug(
            container.id,
            netns=self._netns_name(container),
            owner=f"task {container.name}" if container.task_id else f"container {container.name}",
            wants=wants,
            ports=published(container.config, container.host_config),
            on_mesh=bool(container.sandbox and container.sandbox.uses_mesh),
            dns_port=_dns_port() if any(answers(name) for name in container.networks) else 0,
        )
        container = await self._records.put(replace(container, sandbox=sandbox))
        path = str(self.netns_path(sandbox))
        await self._discovery.serve(container, sandbox, path)
        return container, path

    async def want(self, container: Container, name: str) -> Want:
        """What the container wants of one of its networks. On one of the swarm's a plain container gets its addresses
        from the swarm's manager, a task has brought its own. Raises NotFound, Unavailable, Forbidden."""
        settings = container.networks[name]
        if not settings.network_id:
            raise NotFound(f"network {name} not found")
        addresses = _asked_addresses(container, name)
        if not container.task_id and not self._networks.is_local(settings.network_id) and self.attacher is not None:
            addresses = tuple(await self.attacher.attach(container, settings.network_id))
        return Want(
            network_id=settings.network_id,
            addresses=addresses,
            aliases=tuple(settings.aliases or ()),
            mac=(settings.mac_address or container.config.mac_address or ""),
        )

    def _netns_name(self, container: Container) -> str:
        """The container's name, unless something else there is called so."""
        taken = {sandbox.netns for sandbox in self._networks.sandboxes.values()}
        name = container.name[:_NETNS_NAME]
        if name in taken or (self._netns_root / name).exists():
            return f"{name}-{container.short_id}"
        return name

    async def _spec(self, container: Container, network: str) -> oci.OciSpec:
        folder = self._containers_root / container.id
        shared = container.host_config.network_mode.partition("container:")[2]
        if shared:
            folder = self._containers_root / self._records.get(shared).id
        else:
            await self._write_files(container, container.sandbox)
        own = [
            oci.Mount(
                destination=f"/etc/{name}", type="bind", source=str(folder / name), options=("rbind", "rprivate", "rw")
            )
            for name in ("resolv.conf", "hostname", "hosts")
        ]
        wanted = mounts.wanted(container.config, container.host_config)
        mounted = mounts.oci_mounts(container.mounts, [m for m in wanted if m.type == "tmpfs"])
        taken = {mount.destination for mount in mounted}
        return ocispec.build(
            spec_input(
                container,
                user=await self._user(container),
                network=network,
                mounts=[mount for mount in own if mount.destination not in taken] + mounted,
                pid_of={ref: self._pid_of(ref) for ref in _shared_with(container)},
                cgroup_parent=self.cgroup_parent,
            ),
            self._spec_host,
        )

    async def _write_files(self, container: Container, sandbox: Sandbox | None) -> None:
        embedded = any(answers(e.network_name) for e in (sandbox.endpoints if sandbox else []))
        await asyncio.to_thread(
            files.write,
            self._containers_root / container.id,
            hostname=container.config.hostname,
            hosts_text=files.hosts(container, sandbox),
            resolv=files.resolv_conf(container, self._resolver, embedded=embedded),
        )

    async def announce(self, container: Container) -> None:
        """A running container has other networks, or another name, than before: its files and its names say so."""
        if container.sandbox is None:
            return
        await self._write_files(container, container.sandbox)
        await asyncio.to_thread(copies.keep, self._containers_root, container)
        await self._discovery.serve(container, container.sandbox, str(self.netns_path(container.sandbox)))
        if not self._records.get(container.id).is_running:
            # It has ended meanwhile, and had been withdrawn already.
            await self._discovery.withdraw(container.id)

    async def detach(self, container: Container, network_id: str) -> None:
        """The container is not on that network, if it is one of the swarm's, any more."""
        if self.attacher is not None and not container.task_id and not self._networks.is_local(network_id):
            await self.attacher.detach(container.id, network_id)

    def _pid_of(self, ref: str) -> int:
        other = self._records.get(ref)
        if not other.is_running:
            raise Conflict(f"cannot join the namespaces of a non running container: {other.id}")
        return other.state.pid

    async def _user(self, container: Container) -> user.ResolvedUser:
        wanted, added = container.config.user, container.host_config.group_add or []
        layers = await self._runtime.rootfs(container.id)
        passwd, group = await asyncio.to_thread(
            lambda: (rootfs.read_text(layers, "etc/passwd"), rootfs.read_text(layers, "etc/group"))
        )
        return user.resolve(wanted, passwd=passwd, group=group, add=added)

    def _stdio(self, container: Container) -> Stdio:
        paths = self._fifos(container)
        return Stdio(
            stdin=paths.stdin or "", stdout=paths.stdout, stderr=paths.stderr or "", terminal=container.config.tty
        )

    def _fifos(self, container: Container) -> KeeperStdio:
        folder, config, log = self._stdio_root / container.id, container.config, container.host_config.log_config
        return KeeperStdio(
            container_id=container.id,
            stdout=str(folder / "stdout"),
            stderr=None if config.tty else str(folder / "stderr"),
            stdin=str(folder / "stdin") if config.open_stdin else None,
            tty=config.tty,
            stdin_once=config.stdin_once and not config.tty,
            log=LogOptions(
                path=container.log_path,
                driver=LogDriver.NONE if log.type == "none" else LogDriver.JSON_FILE,
                max_size=log_size(log.config.get("max-size")),
                max_file=int(log.config.get("max-file") or 1),
            ),
        )

    async def open_stdio(self, container: Container) -> None:
        """Have the keeper hold the container's streams; again is fine."""
        (self._containers_root / container.id).mkdir(mode=0o710, parents=True, exist_ok=True)
        (self._stdio_root / container.id).mkdir(mode=0o700, parents=True, exist_ok=True)
        await self._keeper.open(self._fifos(container))

    async def stop(self, ref: str, *, timeout: int | None = None, signal_name: str | None = None) -> None:
        """Ask the process to end, and kill it when it has not after ``timeout`` seconds (-1: never). It is gone through
        with even if the caller is cancelled.

        :raises NotModified: it does not run.
        """
        container = self._records.get(ref)
        await regardless(
            self._stop(container.id, timeout=timeout, signal_name=signal_name),
            name=f"stop {container.name}",
            under_way=self._stops,
        )

    async def _stop(self, container_id: str, *, timeout: int | None, signal_name: str | None) -> None:
        async with self.lock(container_id):
            was_due = await self.settle(container_id)
            container = self._records.get(container_id)
            if was_due or container.state.restarting:
                await self._stay_ended(container)
            elif container.is_running:
                await self._end(container, timeout=timeout, signal_name=signal_name)
            else:
                raise NotModified(f"container {container_id} is not running")
            self._events.of_container("stop", container)

    async def _stay_ended(self, container: Container) -> None:
        """Its restart has been called off: it has ended for good."""
        state = replace(container.state, status="exited", restarting=False)
        await self._records.observe(replace(container, state=state, has_been_stopped=True))

    async def _end(self, container: Container, *, timeout: int | None, signal_name: str | None) -> None:
        number = parse_signal(signal_name or container.config.stop_signal or "SIGTERM")
        if timeout is None:
            timeout = container.config.stop_timeout if container.config.stop_timeout is not None else _STOP_SECONDS
        # Before anything else, since the process may end at any moment.
        gone = self.waiters.wait(container.id, Condition.NEXT_EXIT)
        await self._records.observe(replace(container, has_been_stopped=True))
        if container.state.paused:
            await self._thaw(container.id)
        try:
            await self._signal(container, number)
            if await _within(gone, timeout if timeout >= 0 else None):
                return
            await self._signal(container, signal.SIGKILL)
        except NotFound:
            _log.debug("%s has ended by itself", container.name)
        await self._be_gone(container, gone)

    async def _be_gone(self, container: Container, gone: "asyncio.Future[ExitResult]") -> None:
        if not await _within(gone, _KILL_SECONDS):
            raise Internal(f"tried to kill container {container.id}, but did not receive an exit event")

    async def _thaw(self, container_id: str) -> None:
        try:
            await self._runtime.resume(container_id)
        except (NotFound, FailedPrecondition) as error:
            _log.debug("container %s is not frozen: %s", container_id, error)

    async def _signal(self, container: Container, number: int) -> None:
        """Raises NotFound when it has ended, however the runtime puts that: its shim may go away in the middle."""
        self._events.of_container("kill", container, signal=str(number))
        try:
            await self._runtime.kill(container.id, number)
        except ShoalError as error:
            current = self._records.find(container.id)
            if current is None or not current.is_running:
                raise NotFound(f"container {container.id} has ended") from error
            raise

    async def kill(self, ref: str, signal_name: str) -> None:
        """Send a signal; SIGKILL is waited for. Needs no lock, so that it gets through to one that is being stopped.
        Raises Conflict when the container does not run."""
        container = self._records.get(ref)
        number = parse_signal(signal_name or "KILL")
        if container.state.restarting:
            await self._call_off_restart(container.id)
            return
        if not container.is_running:
            raise Conflict(f"cannot kill container: {ref}: container {container.id} is not running")
        gone = self.waiters.wait(container.id, Condition.NEXT_EXIT) if number == signal.SIGKILL else None
        if number in (signal.SIGKILL, parse_signal(container.config.stop_signal or "SIGTERM")):
            container = await self._records.observe(replace(container, has_been_stopped=True))
        if number == signal.SIGKILL and container.state.paused:
            await self._thaw(container.id)
        try:
            await self._signal(container, number)
        except NotFound:
            _log.debug("%s has ended by itself", container.name)
        if gone is not None:
            await self._be_gone(container, gone)

    async def _call_off_restart(self, container_id: str) -> None:
        async with self.lock(container_id):
            await self.settle(container_id)
            await self._stay_ended(self._records.get(container_id))

    async def restart(self, ref: str, *, timeout: int | None = None, signal_name: str | None = None) -> None:
        """Stop it if it runs, then start it."""
        container = self._records.get(ref)
        async with self.lock(container.id):
            await self.settle(container.id)
            container = self._records.get(container.id)
            if container.is_running:
                await self._end(container, timeout=timeout, signal_name=signal_name)
            await whole(self._start_anew(container.id), name=f"start {container.name}")
            self._events.of_container("restart", self._records.get(container.id))

    async def pause(self, ref: str, *, paused: bool) -> None:
        """Freeze or thaw. Raises Conflict in Docker's words when that is not possible now."""
        container = self._records.get(ref)
        async with self.lock(container.id):
            container = self._records.get(container.id)
            if not container.is_running:
                raise Conflict(f"container {container.id} is not running")
            if container.state.paused == paused:
                raise Conflict(f"Container {container.id} is {'already' if paused else 'not'} paused")
            await (self._runtime.pause(container.id) if paused else self._runtime.resume(container.id))
            container = self._records.get(container.id)
            if not container.is_running:
                raise Conflict(f"container {container.id} is not running")
            state = replace(container.state, paused=paused, status="paused" if paused else "running")
            container = await self._records.put(replace(container, state=state))
            self._events.of_container("pause" if paused else "unpause", container)

    async def _watch(self, container_id: str) -> None:
        status = await self._end_of(container_id)
        # From here on it is to be waited for, by whoever wants to know whether the container runs or will run again.
        self._cleanups[container_id] = spawn(self._follow(container_id, status), name=f"end of {container_id[:12]}")
        self._watches.pop(container_id, None)

    async def _end_of(self, container_id: str) -> ExitStatus:
        """Wait for the end of its process. One whose shim died has ended, nobody knows how: 255, as containerd says."""
        while True:
            try:
                return await self._runtime.wait(container_id)
            except NotFound:
                return ExitStatus(255, self._clock.now())
            except ShoalError as error:
                _log.warning("container %s cannot be watched, it is tried again: %s", container_id, error)
                await self._clock.sleep(_WATCH_PAUSE)

    async def _follow(self, container_id: str, status: ExitStatus) -> None:
        """All that follows the end of a process."""
        try:
            container = await self._exited(container_id, status)
            await self._clear(container)
        finally:
            self._cleanups.pop(container_id, None)
        container = self._records.get(container_id)
        # Neither is waited for here: whoever holds the lock may be waiting for this.
        self._remove_later(container)
        if _restarts(container):
            self._restart(container)
        elif container.state.restarting:
            # Its policy has been changed meanwhile.
            await self._stay_ended(container)

    async def _exited(self, container_id: str, status: ExitStatus) -> Container:
        for tell in self.on_ended:
            tell(container_id)
        try:
            await self._keeper.drained(container_id)
        except ShoalError as error:
            _log.warning("the last output of %s may not be in its log: %s", container_id, error)
        container = self._records.get(container_id)
        # Counted by the kernel, so it is known too of what happened while nobody looked.
        kills = await asyncio.to_thread(cgroups.oom_kills, cgroup_path(container, self.cgroup_parent))
        container = self._records.get(container_id)
        state = replace(
            container.state,
            status="exited",
            running=False,
            paused=False,
            pid=0,
            exit_code=status.code,
            oom_killed=kills > 0,
            finished_at=timestamp(status.at),
        )
        container = replace(container, state=state)
        if _restarts(container):
            # From now on, lest it seem to have ended for good while it is cleared away.
            container = replace(container, state=replace(state, status="restarting", restarting=True))
        container = await self._records.observe(container)
        if kills:
            self._events.of_container("oom", container)
        self._events.of_container("die", container, exitCode=str(status.code))
        self.waiters.exited(container_id, ExitResult(code=status.code))
        return container

    def _restart(self, container: Container) -> None:
        if self._held_restarts is not None:
            self._held_restarts.append(container)
        elif not self._is_ending:
            self._restarts[container.id] = spawn(self._restart_later(container.id), name=f"restart {container.name}")

    async def _restart_later(self, container_id: str) -> None:
        """Restart it after its pause, and after the next one as long as what it needs cannot be reached yet."""
        while True:
            container = self._records.get(container_id)
            delay = min(self._backoff.get(container_id, _BACKOFF_FIRST / 2) * 2, _BACKOFF_LAST)
            if _ran_for(container) > _BACKOFF_RESET:
                delay = _BACKOFF_FIRST
            self._backoff[container_id] = delay
            state = replace(container.state, status="restarting", restarting=True)
            await self._records.observe(replace(container, state=state, has_been_stopped=False))
            await self._clock.sleep(delay)
            async with self.lock(container_id):
                try:
                    await whole(self._start_again(container_id), name=f"restart {container.name}")
                except Unavailable as error:
                    _log.info("container %s cannot be restarted yet: %s", container.name, error)
                    continue
                except ShoalError as error:
                    _log.warning("container %s could not be restarted: %s", container.name, error)
                # While the lock is held: who gets it next must not call off what has been done.
                self._restarts.pop(container_id, None)
                return

    async def _start_again(self, container_id: str) -> None:
        container = self._records.find(container_id)
        if container is None or container.has_been_stopped or container.is_running:
            return
        await self._start(await self._records.put(replace(container, restart_count=container.restart_count + 1)))

    async def _clear(self, container: Container) -> None:
        """Remove the runtime's task, the sandbox and the streams; what is gone already is no error, and what cannot be
        removed now keeps nothing else from going."""
        await self._try(self._discovery.withdraw(container.id), container)
        await self._try(self._delete_task(container.id), container)
        # runc's to remove, unless it died over it.
        await asyncio.to_thread(cgroups.clear, cgroup_path(container, self.cgroup_parent))
        await self._try(self._networks.unplug(container.id), container)
        if self.attacher is not None and not container.task_id:
            await self._try(self.attacher.detach(container.id), container)
        await self._try(self._keeper.close(container.id), container)
        await self._try(self._volumes.unmount(container), container)

    async def _try(self, step: Awaitable[None], container: Container) -> None:
        try:
            await step
        except ShoalError as error:
            _log.warning("not all of %s could be cleared away: %s", container.name, error)

    async def _delete_task(self, container_id: str) -> None:
        """Remove the runtime's task, killing what still runs in it; none is no error."""
        try:
            await self._runtime.delete_task(container_id)
        except NotFound:
            return
        except FailedPrecondition:
            # It was started, and what was to follow failed.
            try:
                await self._runtime.kill(container_id, signal.SIGKILL, everything=True)
            except NotFound as error:
                _log.debug("container %s has ended by itself: %s", container_id, error)
            try:
                async with asyncio.timeout(_KILL_SECONDS):
                    await self._runtime.wait(container_id)
            except TimeoutError as error:
                raise Internal(f"the process of {container_id} does not end") from error
            await self._runtime.delete_task(container_id)

    async def restore(self) -> None:
        """After a restart of shoald: containers that still run go on being watched, the others have ended meanwhile.
        What shoald, killed in the middle of something, has left behind is cleared away; restarts wait for that, or what
        they have just made would go with it."""
        held = self._held_restarts = []
        await self._restore()
        self._held_restarts = None
        for container in held:
            self._restart(container)

    async def _restore(self) -> None:
        alive = {state.id: state for state in await self._runtime.list()}
        for container in self._records.running():
            if container.sandbox is not None:
                self._discovery.adopt(container, container.sandbox)
        for container in self._records.all():
            found = alive.pop(container.id, None)
            process = found.process if found is not None else None
            if not container.is_running:
                if process is not None:
                    await self._clear(container)
                self._go_on(self._records.get(container.id))
            elif process is not None and process.status in (ProcessStatus.RUNNING, ProcessStatus.PAUSED):
                self._watches[container.id] = spawn(self._watch(container.id), name=f"watch {container.name}")
                for tell in self.on_started:
                    await tell(container)
            else:
                status = process.exit if process is not None and process.exit else ExitStatus(255, self._clock.now())
                await self._follow(container.id, status)
        kept = await self._keeper.hello()
        running = {container.id for container in self._records.running()}
        for sandbox_id in set(kept.sandboxes) - running:
            await self._keeper.stop(sandbox_id)
        for container_id in set(kept.containers) - running:
            # Others' are those of execs.
            if self._records.find(container_id) is not None:
                await self._keeper.close(container_id)
        incomplete = await self._records.is_incomplete()
        for stray in alive.values():
            if stray.labels.get(ROOT_LABEL) != str(self._containers_root):
                continue
            if incomplete:
                _log.warning("container %s runs, its record was lost: it is left alone", stray.id)
            else:
                await self._remove_stray(stray.id)

    def _go_on(self, container: Container) -> None:
        """What the policy of a container that had ended says when shoald starts."""
        policy, state = container.host_config.restart_policy.name, container.state
        has_run = state.started_at != ZERO_TIME
        if container.host_config.auto_remove and (has_run or state.error):
            self._remove_later(container)
        elif has_run and not container.task_id and (policy == "always" or _restarts(container)):
            self._restart(container)

    async def _remove_stray(self, container_id: str) -> None:
        """A container that was being created, or removed: no record tells of it."""
        try:
            await self._delete_task(container_id)
            await self._runtime.remove(container_id)
        except ShoalError as error:
            _log.warning("container %s, of which nothing is known, cannot be removed: %s", container_id, error)

    async def stop_watching(self) -> None:
        """shoald ends: leave the containers as they are, and finish what follows the end of others."""
        self._is_ending = True
        await cancel(*self._watches.values(), *self._restarts.values(), *self._stops)
        while following := [*self._cleanups.values(), *self._removals]:
            await asyncio.wait(following)


async def _within(gone: "asyncio.Future[ExitResult]", seconds: float | None) -> bool:
    """Whether it comes about in that time; None for as long as it takes."""
    done, _ = await asyncio.wait([gone], timeout=seconds)
    return bool(done)


def _dns_port() -> int:
    """A port for the sandbox's resolver: in a namespace of its own any of the upper ones is free; a random one keeps
    out of the way of whatever the container itself wants to listen on."""
    return 49152 + secrets.randbelow(16384)


def _asked_addresses(container: Container, name: str) -> tuple[str, ...]:
    asked = container.networks[name].ipam_config
    if asked is None:
        return ()
    return tuple(address for address in (asked.ipv4_address, asked.ipv6_address) if address)


def _shared_with(container: Container) -> list[str]:
    host = container.host_config
    return [mode.partition(":")[2] for mode in (host.pid_mode, host.ipc_mode) if mode.startswith("container:")]


def _restarts(container: Container) -> bool:
    policy = container.host_config.restart_policy
    if container.has_been_stopped or container.task_id:
        return False
    if policy.name == "on-failure":
        tries = policy.maximum_retry_count
        return container.state.exit_code != 0 and (not tries or container.restart_count < tries)
    return policy.name in ("always", "unless-stopped")


def _ran_for(container: Container) -> float:
    return (parse_time(container.state.finished_at) - parse_time(container.state.started_at)).total_seconds()
