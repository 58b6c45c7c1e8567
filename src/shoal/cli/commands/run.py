"""``shoal run`` and ``shoal create``."""

import contextlib
import os
import sys

from shoal.cli.command import Arguments, Command, PlainError
from shoal.cli.commands.attach import DETACH_KEYS, Attachment, exit_code, wait_for_exit
from shoal.cli.containerbody import container_body
from shoal.cli.containerflags import CONTAINER_FLAGS
from shoal.cli.context import Context
from shoal.cli.imagenames import familiar, split_reference
from shoal.cli.kinds import switch
from shoal.cli.progress import show_messages
from shoal.cli.streams import check_tty
from shoal.cli.term import size
from shoal.client.engine import Json, json_lines
from shoal.client.registry import auth_header, auth_of, registry_of
from shoal.errors import Conflict, InvalidArgument, NotFound, ShoalError

ENGINE_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127


class RunError(ShoalError):
    """The container could not be run; ``status`` is the exit code."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_create(ctx: Context, args: Arguments) -> int:
    """Create a container without starting it."""
    ctx.out(create(ctx, args, container_body(args, detach=False))["Id"])
    return 0


def create(ctx: Context, args: Arguments, body: Json) -> Json:
    """Create the container, pulling its image when that is asked for or needed."""
    policy = args.text("pull")
    if policy not in ("always", "missing", "never", ""):
        raise InvalidArgument(f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"')
    cidfile = args.text("cidfile")
    if cidfile and os.path.exists(cidfile):
        raise InvalidArgument(
            f"container ID file found, make sure the other container isn't running or delete {cidfile}"
        )
    image = args.words[0]
    if policy == "always":
        pull(ctx, image, args)
    query = {"name": args.text("name"), "platform": args.text("platform")}
    try:
        created: Json = ctx.engine.post("/containers/create", query, body)
    except NotFound as error:
        if policy != "missing" or "no such image" not in str(error).lower():
            raise
        if not args.on("quiet"):
            ctx.err(f"Unable to find image '{familiar(image)}' locally")
        pull(ctx, image, args)
        created = ctx.engine.post("/containers/create", query, body)
    for warning in created.get("Warnings") or ():
        ctx.err(f"WARNING: {warning}")
    if cidfile:
        with open(cidfile, "w", encoding="utf-8") as file:
            file.write(created["Id"])
    return created


def pull(ctx: Context, image: str, args: Arguments) -> None:
    """Pull an image, showing its progress on stderr."""
    repository, tag = split_reference(image)
    query = {"fromImage": repository, "tag": tag or "latest", "platform": args.text("platform")}
    header = auth_header(auth_of(ctx.config, registry_of(image)))
    response = ctx.engine.stream("POST", "/images/create", query, headers=header)
    show_messages(json_lines(response), open(os.devnull, "w") if args.on("quiet") else sys.stderr)


def run_run(ctx: Context, args: Arguments) -> int:
    """Create a container, start it, and stay attached to it unless told otherwise."""
    detach = args.on("detach")
    if detach and args.items("attach"):
        raise PlainError("conflicting options: cannot specify both --attach and --detach")
    body = container_body(args, detach=detach)
    attached = body["AttachStdin"] or body["AttachStdout"] or body["AttachStderr"]
    if not detach and (problem := check_tty(attach_stdin=body["AttachStdin"], tty=body["Tty"])):
        raise PlainError(problem)
    if body["Tty"] and not detach:
        body["HostConfig"]["ConsoleSize"] = list(size())
    created = create(ctx, args, body)
    container = created["Id"]
    if not attached:
        _start(ctx, container, None)
        ctx.out(container)
        return 0
    # A TTY in raw mode sends Ctrl-C as a byte: the container's terminal makes the signal of it.
    attachment = Attachment(
        ctx,
        container,
        body,
        stdin=body["AttachStdin"],
        proxy=args.on("sig-proxy") and not body["Tty"],
        detach_keys=args.text("detach-keys"),
    )
    waiting = wait_for_exit(ctx, container, "removed" if args.on("rm") else "next-exit")
    _start(ctx, container, args)
    if not attachment.run():
        return 0
    return exit_code(ctx, waiting)


def _start(ctx: Context, container: str, args: Arguments | None) -> None:
    try:
        ctx.engine.post(f"/containers/{container}/start")
    except ShoalError as error:
        text = str(error)
        status = ENGINE_FAILED
        if "executable file not found" in text or "no such file or directory" in text or "system cannot find" in text:
            status = NOT_FOUND
        elif "permission denied" in text or "is a directory" in text:
            status = NOT_EXECUTABLE
        if args is not None and args.on("rm"):
            # The daemon removes it by itself where it ever ran; a container that never did may stay.
            with contextlib.suppress(NotFound, Conflict):
                ctx.engine.delete(f"/containers/{container}", {"force": True, "v": True})
        raise RunError(text, status) from error


COMMANDS = (
    Command(
        "create",
        "Create a new container",
        run_create,
        "IMAGE [COMMAND] [ARG...]",
        1,
        flags=CONTAINER_FLAGS,
        examples=("create --name web -p 80:80 nginx",),
        interspersed=False,
        completes=("images",),
    ),
    Command(
        "run",
        "Create and run a new container from an image",
        run_run,
        "IMAGE [COMMAND] [ARG...]",
        1,
        flags=(
            *CONTAINER_FLAGS,
            switch("detach", "Run in the background and print the container's ID", "d"),
            DETACH_KEYS,
            switch("sig-proxy", "Proxy received signals to the process", default=True, shown="true"),
        ),
        examples=(
            "run -it --rm busybox sh",
            "run -d --name web -p 8080:80 nginx",
            "run --rm -v data:/data busybox ls /data",
        ),
        interspersed=False,
        completes=("images",),
        failure=ENGINE_FAILED,
    ),
)
