"""Processes that are put into a running container (Engine API, ``/exec``)."""

import msgspec

from shoal.objects.container import Pascal


class ExecConfig(Pascal, frozen=True):
    """What to run (Engine API, ``ExecConfig``). ``console_size`` is height and width in characters."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    tty: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    privileged: bool = False
    user: str = ""
    working_dir: str = ""
    console_size: list[int] | None = None


class ExecProcess(msgspec.Struct, frozen=True):
    """The process of an exec: ``entrypoint`` is the program."""

    tty: bool
    entrypoint: str
    arguments: list[str]
    privileged: bool
    user: str = ""


class ExecInspect(Pascal, frozen=True):
    """How an exec is (Engine API, ``ExecInspectResponse``); ``exit_code`` is None until it has ended."""

    id: str = msgspec.field(name="ID")
    running: bool
    exit_code: int | None
    process_config: ExecProcess
    open_stdin: bool = False
    open_stderr: bool = False
    open_stdout: bool = False
    can_remove: bool = False
    container_id: str = msgspec.field(default="", name="ContainerID")
    detach_keys: str = ""
    pid: int = 0
