"""Processes put into running containers: made by one request, run by another, remembered a while after their end."""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.container import oci, ocispec, rootfs, user
from shoal.container.runtime import Runtime, Stdio
from shoal.engine.events import Events
from shoal.engine.limits import check_console
from shoal.engine.records import Records
from shoal.engine.spec import environment, spec_input
from shoal.engine.startfailure import blamed, exit_code
from shoal.engine.streams import LiveStreams
from shoal.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, ShoalError
from shoal.keeper.client import Attachment, KeeperClient
from shoal.objects.base import check_texts
from shoal.objects.container import Container
from shoal.objects.exec import ExecConfig, ExecInspect, ExecProcess
from shoal.objects.ids import container_id
from shoal.wire.keeper import Stdio as KeeperStdio

_log = logging.getLogger(__name__)

# Whoever started an exec asks for its exit code once its streams have ended; after this many seconds nobody will.
_KEPT_SECONDS = 300.0


@dataclass
class Exec:
    """An exec of this run of shoald. ``exit_code`` is there once it has ended, ``ended`` when (monotonic)."""

    id: str
    container_id: str
    config: ExecConfig
    started: bool = False
    pid: int = 0
    exit_code: int | None = None
    ended: float | None = None
    watch: "asyncio.Task[None] | None" = None

    @property
    def running(self) -> bool:
        return self.started and self.ended is None


class FailedStart:
    """The streams of an exec that could not be run: the reason, as Docker has it on standard output."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        yield 1, f"{self._text}\r\n".encode()

    async def write(self, data: bytes) -> None:
        """Nobody reads it."""

    async def close_stdin(self) -> None:
        """There is none."""

    async def aclose(self) -> None:
        """There is nothing to let go."""


class Execs:
    """See :class:`shoal.api.backends_containers.ExecBackend`. ``stdio_root`` is the lifecycle's."""

    def __init__(
        self,
        *,
        records: Records,
        runtime: Runtime,
        keeper: KeeperClient,
        events: Events,
        clock: Clock,
        spec_host: ocispec.SpecHost,
        stdio_root: Path,
    ) -> None:
        self._records = records
        self._runtime = runtime
        self._keeper = keeper
        self._events = events
        self._clock = clock
        self._spec_host = spec_host
        self._stdio_root = stdio_root
        self._execs: dict[str, Exec] = {}

    async def exec_create(self, ref: str, config: ExecConfig) -> str:
        """Returns the exec's id. Raises Conflict when the container does not run, InvalidArgument without a command."""
        self._sweep()
        container = self._records.get(ref)
        _check_running(container)
        if not config.cmd:
            raise InvalidArgument("No exec command specified")
        check_texts(config)
        check_console(config.console_size or ())
        made = Exec(container_id(), container.id, config)
        self._execs[made.id] = made
        self._event("exec_create", container, made)
        return made.id

    async def exec_start(
        self, exec_id: str, *, tty: bool, detach: bool, console_size: tuple[int, int] | None = None
    ) -> LiveStreams | FailedStart | None:
        """Run it; its streams unless detached, where what keeps it from running is raised.

        Whether it has a terminal was said when it was made; ``tty`` is the client's idea of it, and not used.
        """
        found = self._get(exec_id)
        container = self._records.get(found.container_id)
        if found.ended is not None:
            raise Conflict(f"Error: Exec command {exec_id} has already run")
        if found.started:
            raise Conflict(f"Error: Exec command {exec_id} is already running")
        _check_running(container)
        found.started = True
        try:
            return await self._start(found, container, detach=detach, size=console_size)
        except BaseException as error:
            await self._clear(found)
            code = exit_code(str(error))
            self._end(found, code if code != 128 else 126)
            if detach or not isinstance(error, ShoalError):
                raise blamed(error) from error
            return FailedStart(str(error))

    async def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        """Tell its terminal the size. Raises Conflict when it does not run."""
        found = self._get(exec_id)
        if not found.running:
            raise Conflict(f"cannot resize a process that is not running: exec {exec_id}")
        await self._runtime.resize(found.container_id, height=height, width=width, exec_id=exec_id)

    async def exec_inspect(self, exec_id: str) -> ExecInspect:
        """Raises NotFound."""
        found = self._get(exec_id)
        config, (program, *arguments) = found.config, found.config.cmd or [""]
        return ExecInspect(
            id=exec_id,
            running=found.running,
            exit_code=found.exit_code,
            process_config=ExecProcess(
                tty=config.tty,
                entrypoint=program,
                arguments=arguments,
                privileged=config.privileged,
                user=config.user,
            ),
            open_stdin=config.attach_stdin,
            open_stderr=config.attach_stderr,
            open_stdout=config.attach_stdout,
            can_remove=found.ended is not None,
            container_id=found.container_id,
            detach_keys=config.detach_keys,
            pid=found.pid,
        )

    def execs_of(self, container_id: str) -> Sequence[str]:
        """The ids of the execs that were made in a container and have not ended."""
        return [e.id for e in self._execs.values() if e.container_id == container_id and e.ended is None]

    async def kill(self, exec_id: str, signal: int) -> None:
        """Send a signal; one that has ended is no error."""
        found = self._execs.get(exec_id)
        if found is not None and found.running:
            try:
                await self._runtime.kill(found.container_id, signal, exec_id=exec_id)
            except (NotFound, FailedPrecondition) as error:
                _log.debug("exec %s: %s", exec_id, error)

    def drop(self, exec_id: str) -> None:
        """Nobody will ask for this exec any more."""
        found = self._execs.get(exec_id)
        if found is not None and not found.running:
            del self._execs[exec_id]

    def forget(self, container_id: str) -> None:
        """The container has ended: what was never run in it goes. How the others ended may still be asked for."""
        self._execs = {k: e for k, e in self._execs.items() if e.started or e.container_id != container_id}

    async def restore(self) -> None:
        """After a restart of shoald: see to it that what earlier execs leave is cleared away when they end."""
        for container in self._records.running():
            folder = self._stdio_root / container.id
            for path in await asyncio.to_thread(_folders, folder):
                left = Exec(path.name, container.id, ExecConfig(), started=True)
                left.watch = spawn(self._watch(left), name=f"exec {left.id[:12]}")

    async def stop_watching(self) -> None:
        """shoald ends: the execs go on."""
        await cancel(*(e.watch for e in self._execs.values()))

    async def _start(
        self, found: Exec, container: Container, *, detach: bool, size: tuple[int, int] | None
    ) -> LiveStreams | None:
        process = await self._process(found.config, container, size)
        streams, stdio = None, Stdio()
        if not detach or found.config.tty:
            paths = self._fifos(found, container)
            await self._keeper.open(paths)
            stdio = Stdio(
                stdin=paths.stdin or "", stdout=paths.stdout, stderr=paths.stderr or "", terminal=found.config.tty
            )
        if not detach:
            streams = await self._attach(found)
        try:
            await self._runtime.exec(container.id, found.id, process, stdio)
            found.pid = await self._runtime.start(container.id, found.id)
        except BaseException:
            if streams is not None:
                await streams.aclose()
            raise
        found.watch = spawn(self._watch(found), name=f"exec {found.id[:12]}")
        self._event("exec_start", container, found)
        return streams

    async def _attach(self, found: Exec) -> LiveStreams:
        config = found.config

        async def connect() -> Attachment:
            return await self._keeper.attach(
                found.id, stdin=config.attach_stdin, stdout=config.attach_stdout, stderr=config.attach_stderr
            )

        async def end_stdin() -> None:
            await self._runtime.close_stdin(found.container_id, found.id)

        return LiveStreams(await connect(), attach=connect, end_stdin=end_stdin)

    async def _process(self, config: ExecConfig, container: Container, size: tuple[int, int] | None) -> oci.Process:
        layers = await self._runtime.rootfs(container.id)
        passwd, group = await asyncio.to_thread(
            lambda: (rootfs.read_text(layers, "etc/passwd"), rootfs.read_text(layers, "etc/group"))
        )
        wanted = config.user or container.config.user
        runs_as = user.resolve(wanted, passwd=passwd, group=group, add=container.host_config.group_add or [])
        host = container.host_config
        shared = {mode.partition(":")[2]: 0 for mode in (host.pid_mode, host.ipc_mode) if mode.startswith("container:")}
        base = spec_input(container, user=runs_as, network="", mounts=(), pid_of=shared, cgroup_parent="")
        process = ocispec.process(
            base,
            self._spec_host,
            args=tuple(config.cmd or ()),
            user=runs_as.user,
            env=merged_environment(environment(container, runs_as), config.env or []),
            cwd=config.working_dir or container.config.working_dir or "/",
            tty=config.tty,
            privileged=config.privileged,
        )
        asked = size or (tuple(config.console_size) if config.console_size else None)
        return with_console(process, asked)

    def _fifos(self, found: Exec, container: Container) -> KeeperStdio:
        folder, config = self._stdio_root / container.id / found.id, found.config
        return KeeperStdio(
            container_id=found.id,
            stdout=str(folder / "stdout"),
            stderr=None if config.tty else str(folder / "stderr"),
            stdin=str(folder / "stdin") if config.attach_stdin else None,
            tty=config.tty,
            stdin_once=config.attach_stdin and not config.tty,
        )

    async def _watch(self, found: Exec) -> None:
        try:
            code = (await self._runtime.wait(found.container_id, found.id)).code
        except (NotFound, FailedPrecondition):  # its container's task is gone, and has taken it along
            code = 137
        # Before its streams end for the client, who then asks for the exit code at once.
        self._end(found, code)
        try:
            await self._keeper.drained(found.id)
        except NotFound:
            _log.debug("exec %s has no streams", found.id)
        await self._clear(found)
        container = self._records.find(found.container_id)
        if container is not None:
            self._events.of_container("exec_die", container, execID=found.id, exitCode=str(code))

    def _end(self, found: Exec, code: int) -> None:
        found.exit_code, found.ended = code, self._clock.monotonic()

    async def _clear(self, found: Exec) -> None:
        """Remove the runtime's process and the streams; what is gone already is no error."""
        try:
            await self._runtime.delete_task(found.container_id, found.id)
        except (NotFound, FailedPrecondition) as error:
            _log.debug("exec %s: %s", found.id, error)
        await self._keeper.close(found.id)
        await asyncio.to_thread(shutil.rmtree, self._stdio_root / found.container_id / found.id, True)

    def _get(self, exec_id: str) -> Exec:
        if (found := self._execs.get(exec_id)) is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return found

    def _event(self, action: str, container: Container, found: Exec) -> None:
        self._events.of_container(f"{action}: {' '.join(found.config.cmd or ())}", container, execID=found.id)

    def _sweep(self) -> None:
        oldest = self._clock.monotonic() - _KEPT_SECONDS
        for key in [key for key, e in self._execs.items() if e.ended is not None and e.ended < oldest]:
            del self._execs[key]


def merged_environment(base: Sequence[str], added: Sequence[str]) -> tuple[str, ...]:
    """``base`` with ``added`` in place of what has the same name; an entry without ``=`` takes the name away."""
    values: dict[str, str | None] = {}
    for entry in (*base, *added):
        name, equals, _ = entry.partition("=")
        values[name] = entry if equals else None
    return tuple(entry for entry in values.values() if entry is not None)


def with_console(process: oci.Process, size: Sequence[int] | None) -> oci.Process:
    """The process with a terminal of that height and width, where it has one at all."""
    if not process.terminal or not size or not all(size):
        return process
    return replace(process, console_size=oci.ConsoleSize(height=size[0], width=size[1]))


def _check_running(container: Container) -> None:
    if container.state.restarting:
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if not container.is_running:
        raise Conflict(f"Container {container.id} is not running")
    if container.state.paused:
        raise Conflict(f"Container {container.id} is paused, unpause the container before exec")


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return []
