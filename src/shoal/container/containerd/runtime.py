"""The Runtime that containerd and its runc shim are."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from shoal.aio.clock import Clock
from shoal.container import cgroups
from shoal.container.containerd import events, shims
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.pb import containers_pb2, task_pb2
from shoal.container.containerd.pb import tasks_pb2 as pb
from shoal.container.containerd.pb.runc_options_pb2 import Options
from shoal.container.containerd.snapshots import Snapshots, to_pb
from shoal.container.containerd.wellknown import message_any, moment, oci_any
from shoal.container.oci import OciSpec, Process, Resources
from shoal.container.rootfs import RootMount, SnapshotUsage
from shoal.container.runtime import ContainerState, ExitStatus, ProcessState, ProcessStatus, RuntimeEvent, Stdio
from shoal.errors import Conflict, NotFound, ShoalError, Unavailable
from shoal.wire.rpc import Streaming, Unary

_CONTAINERS = "containerd.services.containers.v1.Containers"
_CREATE = Unary(f"{_CONTAINERS}/Create", containers_pb2.CreateContainerRequest, containers_pb2.CreateContainerResponse)
_UPDATE = Unary(f"{_CONTAINERS}/Update", containers_pb2.UpdateContainerRequest, containers_pb2.UpdateContainerResponse)
_DELETE = Unary(f"{_CONTAINERS}/Delete", containers_pb2.DeleteContainerRequest, Empty)
_LIST = Streaming(
    f"{_CONTAINERS}/ListStream", containers_pb2.ListContainersRequest, containers_pb2.ListContainerMessage
)

_TASKS = "containerd.services.tasks.v1.Tasks"
_CREATE_TASK = Unary(f"{_TASKS}/Create", pb.CreateTaskRequest, pb.CreateTaskResponse)
_START = Unary(f"{_TASKS}/Start", pb.StartRequest, pb.StartResponse)
_DELETE_TASK = Unary(f"{_TASKS}/Delete", pb.DeleteTaskRequest, pb.DeleteResponse)
_DELETE_PROCESS = Unary(f"{_TASKS}/DeleteProcess", pb.DeleteProcessRequest, pb.DeleteResponse)
_GET = Unary(f"{_TASKS}/Get", pb.GetRequest, pb.GetResponse)
LIST_TASKS = Unary(f"{_TASKS}/List", pb.ListTasksRequest, pb.ListTasksResponse)
_KILL = Unary(f"{_TASKS}/Kill", pb.KillRequest, Empty)
_EXEC = Unary(f"{_TASKS}/Exec", pb.ExecProcessRequest, Empty)
_RESIZE = Unary(f"{_TASKS}/ResizePty", pb.ResizePtyRequest, Empty)
_CLOSE_IO = Unary(f"{_TASKS}/CloseIO", pb.CloseIORequest, Empty)
_PAUSE = Unary(f"{_TASKS}/Pause", pb.PauseTaskRequest, Empty)
_RESUME = Unary(f"{_TASKS}/Resume", pb.ResumeTaskRequest, Empty)
_PIDS = Unary(f"{_TASKS}/ListPids", pb.ListPidsRequest, pb.ListPidsResponse)
_UPDATE_TASK = Unary(f"{_TASKS}/Update", pb.UpdateTaskRequest, Empty)
_WAIT = Unary(f"{_TASKS}/Wait", pb.WaitRequest, pb.WaitResponse)

_SHIM = "io.containerd.runc.v2"
_SIGKILL = 9
# Before each further try to delete a task whose shim has died, in seconds.
_AWAY_PAUSES = (0.1, 0.3, 0.6, 1.0, 2.0, 0.0)

_STATUS = {
    task_pb2.CREATED: ProcessStatus.CREATED,
    task_pb2.RUNNING: ProcessStatus.RUNNING,
    task_pb2.STOPPED: ProcessStatus.STOPPED,
    task_pb2.PAUSED: ProcessStatus.PAUSED,
    task_pb2.PAUSING: ProcessStatus.PAUSING,
}


class ContainerdRuntime:
    """A :class:`~shoal.container.runtime.Runtime` on one connection to containerd.

    ``runc_root`` is where runc keeps its state (``<exec-root>/runc``), so that nothing of ours lies among others'.
    """

    def __init__(self, *, containerd: Containerd, snapshots: Snapshots, runc_root: Path, clock: Clock) -> None:
        self._containerd = containerd
        self._snapshots = snapshots
        self._runc_root = runc_root
        self._clock = clock

    async def create(
        self, container_id: str, spec: OciSpec, *, parent: str, labels: Mapping[str, str], image: str = ""
    ) -> None:
        runtime = containers_pb2.Container.Runtime(name=_SHIM, options=message_any(Options(root=str(self._runc_root))))
        # The record goes first: it names the snapshot's key, which keeps the collector off the snapshot.
        record = containers_pb2.Container(
            id=container_id,
            labels=labels,
            image=image,
            runtime=runtime,
            spec=oci_any("Spec", spec),
            snapshotter=self._snapshots.snapshotter,
            snapshot_key=container_id,
        )
        try:
            await self._containerd.call(_CREATE, containers_pb2.CreateContainerRequest(container=record))
        except Conflict:
            raise  # another's: not ours to remove
        except BaseException:
            await self.remove(container_id)
            raise
        try:
            await self._snapshots.prepare(container_id, parent)
        except BaseException:
            await self.remove(container_id)
            raise

    async def remove(self, container_id: str) -> None:
        try:
            await self._containerd.call(_DELETE, containers_pb2.DeleteContainerRequest(id=container_id))
        except NotFound:
            pass
        await self._snapshots.remove(container_id)

    async def create_task(self, container_id: str, stdio: Stdio, *, spec: OciSpec | None = None) -> int:
        if spec is not None:
            record = containers_pb2.Container(id=container_id, spec=oci_any("Spec", spec))
            update = containers_pb2.UpdateContainerRequest(container=record, update_mask=FieldMask(paths=["spec"]))
            await self._containerd.call(_UPDATE, update)
        request = pb.CreateTaskRequest(
            container_id=container_id,
            rootfs=to_pb(await self._snapshots.mounts(container_id)),
            stdin=stdio.stdin,
            stdout=_output(stdio.stdout, stdio),
            stderr=_output(stdio.stderr, stdio),
            terminal=stdio.terminal,
        )
        try:
            return (await self._containerd.call(_CREATE_TASK, request)).pid
        except asyncio.CancelledError:
            await self._discard(container_id)
            raise

    async def start(self, container_id: str, exec_id: str = "") -> int:
        request = pb.StartRequest(container_id=container_id, exec_id=exec_id)
        return (await self._containerd.call(_START, request)).pid

    async def kill(self, container_id: str, signal: int, *, exec_id: str = "", everything: bool = False) -> None:
        request = pb.KillRequest(container_id=container_id, exec_id=exec_id, signal=signal, all=everything)
        try:
            await self._containerd.call(_KILL, request)
        except NotFound:
            if not exec_id:
                await self._end_forgotten(container_id)
            raise

    async def wait(self, container_id: str, exec_id: str = "") -> ExitStatus:
        request = pb.WaitRequest(container_id=container_id, exec_id=exec_id)
        while True:
            try:
                answer = await self._containerd.call(_WAIT, request, patient=True)
                return ExitStatus(answer.exit_status, moment(answer.exited_at))
            except Unavailable:
                # The shim goes on while containerd is away; the next one knows it before it answers.
                await self._clock.sleep(0.05)

    async def delete_task(self, container_id: str, exec_id: str = "") -> ExitStatus | None:
        for pause in _AWAY_PAUSES:
            try:
                if exec_id:
                    process = pb.DeleteProcessRequest(container_id=container_id, exec_id=exec_id)
                    answer = await self._containerd.call(_DELETE_PROCESS, process)
                else:
                    answer = await self._containerd.call(_DELETE_TASK, pb.DeleteTaskRequest(container_id=container_id))
            except NotFound:
                if not exec_id:
                    await asyncio.to_thread(self._clear_leftover, container_id)
                return None
            except Unavailable:
                # The shim or containerd has died over it: the one is forgotten in a moment, the other back.
                if not pause:
                    raise
                await self._clock.sleep(pause)
            else:
                return ExitStatus(answer.exit_status, moment(answer.exited_at))
        raise AssertionError

    async def _end_forgotten(self, container_id: str) -> None:
        """End a task that runs on, though containerd does not know it: a create that was cut short is taken back late,
        and with it, from containerd's list, the task that was made of the container meanwhile."""
        try:
            await self.state(container_id)
        except NotFound:
            await asyncio.to_thread(self._clear_leftover, container_id)

    def _clear_leftover(self, container_id: str) -> None:
        """What containerd has forgotten is in the way of the next task all the same."""
        socket, namespace = self._containerd.socket, self._containerd.namespace
        if shims.is_leftover(socket, namespace, container_id):
            shims.clear(socket, namespace, container_id)

    async def exec(self, container_id: str, exec_id: str, process: Process, stdio: Stdio) -> None:
        request = pb.ExecProcessRequest(
            container_id=container_id,
            exec_id=exec_id,
            stdin=stdio.stdin,
            stdout=_output(stdio.stdout, stdio),
            stderr=_output(stdio.stderr, stdio),
            terminal=stdio.terminal,
            spec=oci_any("Process", process),
        )
        await self._containerd.call(_EXEC, request)

    async def pause(self, container_id: str) -> None:
        await self._containerd.call(_PAUSE, pb.PauseTaskRequest(container_id=container_id))

    async def resume(self, container_id: str) -> None:
        await self._containerd.call(_RESUME, pb.ResumeTaskRequest(container_id=container_id))

    async def resize(self, container_id: str, *, height: int, width: int, exec_id: str = "") -> None:
        request = pb.ResizePtyRequest(container_id=container_id, exec_id=exec_id, width=width, height=height)
        await self._containerd.call(_RESIZE, request)

    async def close_stdin(self, container_id: str, exec_id: str = "") -> None:
        request = pb.CloseIORequest(container_id=container_id, exec_id=exec_id, stdin=True)
        await self._containerd.call(_CLOSE_IO, request)

    async def update(self, container_id: str, resources: Resources) -> None:
        request = pb.UpdateTaskRequest(container_id=container_id, resources=oci_any("LinuxResources", resources))
        await self._containerd.call(_UPDATE_TASK, request)

    async def state(self, container_id: str, exec_id: str = "") -> ProcessState:
        answer = await self._containerd.call(_GET, pb.GetRequest(container_id=container_id, exec_id=exec_id))
        return _state(answer.process)

    async def list(self) -> list[ContainerState]:
        # Tasks first: of a container made in between, no task is the truth.
        tasks = (await self._containerd.call(LIST_TASKS, pb.ListTasksRequest())).tasks
        # 1.6 fills in the id alone, 1.7 and later container_id, too.
        states = {task.container_id or task.id: _state(task) for task in tasks}
        return [
            ContainerState(message.container.id, dict(message.container.labels), states.get(message.container.id))
            async for message in self._containerd.stream(_LIST, containers_pb2.ListContainersRequest())
        ]

    async def pids(self, container_id: str) -> tuple[int, ...]:
        answer = await self._containerd.call(_PIDS, pb.ListPidsRequest(container_id=container_id))
        return tuple(process.pid for process in answer.processes)

    async def usage(self, container_id: str) -> cgroups.Usage:
        pid = (await self.state(container_id)).pid
        return await asyncio.to_thread(cgroups.usage, pid)

    async def rootfs(self, container_id: str) -> tuple[RootMount, ...]:
        return await self._snapshots.mounts(container_id)

    async def disk_usage(self, container_id: str) -> SnapshotUsage:
        return await self._snapshots.usage(container_id)

    def events(self) -> AsyncIterator[RuntimeEvent]:
        return events.subscribe(self._containerd, clock=self._clock)

    async def _discard(self, container_id: str) -> None:
        """Take back a task that may or may not have come to be."""
        try:
            await self.kill(container_id, _SIGKILL, everything=True)
            await self.wait(container_id)
            await self.delete_task(container_id)
        except ShoalError:
            return  # it did not come to be


def _output(path: str, stdio: Stdio) -> str:
    """The shim takes no path at all, or without a terminal both outputs."""
    return path if path or stdio.terminal or stdio == Stdio() else "/dev/null"


def _state(process: task_pb2.Process) -> ProcessState:
    status = _STATUS.get(process.status, ProcessStatus.UNKNOWN)
    ended = ExitStatus(process.exit_status, moment(process.exited_at)) if status is ProcessStatus.STOPPED else None
    return ProcessState(process.pid, status, ended)
