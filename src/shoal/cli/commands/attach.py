"""``shoal attach`` and ``shoal start``: a container's streams on this terminal."""

import contextlib
import json
from typing import Any

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.kinds import switch, text_flag
from shoal.cli.many import for_each
from shoal.cli.streams import Session, check_tty, resizer
from shoal.cli.term import size
from shoal.client.engine import Json, quote
from shoal.client.transport import Response
from shoal.errors import InvalidArgument, NotModified, ShoalError

DETACH_KEYS = text_flag("detach-keys", "Keys that detach from the container")


class Attachment:
    """A container's streams and the request that waits for its end; open before the start, run after it."""

    def __init__(
        self, ctx: Context, container: str, config: Json, *, stdin: bool, proxy: bool, detach_keys: str
    ) -> None:
        self._ctx = ctx
        self.tty = bool(config["Tty"])
        self._path = f"/containers/{quote(container)}"
        self._side = ctx.second_engine()
        query = {
            "stream": True,
            "stdin": stdin,
            "stdout": bool(config.get("AttachStdout", True)),
            "stderr": bool(config.get("AttachStderr", True)),
            "detachKeys": detach_keys,
        }
        hijacked = ctx.engine.hijack(f"{self._path}/attach", query)
        self._session = Session(
            ctx,
            hijacked,
            tty=self.tty,
            stdin=stdin,
            detach_keys=detach_keys,
            resize=resizer(self._side, f"{self._path}/resize") if self.tty else None,
            kill=(lambda name: self._side.post(f"{self._path}/kill", {"signal": name})) if proxy else None,
        )

    def run(self) -> bool:
        """Copy until the streams end; False when the user detached."""
        if self.tty:
            # The container may have ended already; then there is nothing to resize.
            with contextlib.suppress(ShoalError):
                resizer(self._side, f"{self._path}/resize")(*size())
        self._session.run()
        self._side.close()
        return not self._session.detached


def wait_for_exit(ctx: Context, container: str, condition: str) -> Response:
    """The pending answer that a container's end will complete."""
    return ctx.engine.stream("POST", f"/containers/{quote(container)}/wait", {"condition": condition})


def exit_code(ctx: Context, waiting: Response) -> int:
    """The exit code that the answer brings."""
    answer: Any = json.loads(waiting.read())
    if answer.get("Error"):
        raise InvalidArgument(answer["Error"]["Message"])
    return int(answer["StatusCode"])


def run_attach(ctx: Context, args: Arguments) -> int:
    """Attach to a running container."""
    found = ctx.engine.get(f"/containers/{quote(args.words[0])}/json")
    state, config = found["State"], found["Config"]
    if not state["Running"]:
        raise InvalidArgument("cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise InvalidArgument("cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise InvalidArgument("cannot attach to a restarting container, wait until it is running")
    stdin = not args.on("no-stdin") and config["OpenStdin"]
    if problem := check_tty(attach_stdin=stdin, tty=config["Tty"]):
        raise InvalidArgument(problem)
    waiting = wait_for_exit(ctx, found["Id"], "")
    attachment = Attachment(
        ctx,
        found["Id"],
        {"Tty": config["Tty"]},
        stdin=stdin,
        proxy=args.on("sig-proxy") and not config["Tty"],
        detach_keys=args.text("detach-keys"),
    )
    if not attachment.run():
        ctx.err("read escape sequence")
        return 0
    return exit_code(ctx, waiting)


def run_start(ctx: Context, args: Arguments) -> int:
    """Start stopped containers, and attach to one."""
    if not (args.on("attach") or args.on("interactive")):
        failed: list[str] = []

        def start(name: str) -> None:
            try:
                ctx.engine.post(f"/containers/{quote(name)}/start")
            except NotModified:
                return
            except ShoalError:
                failed.append(name)
                raise

        status = for_each(ctx, args.words, start)
        if failed:
            ctx.err(f"Error: failed to start containers: {', '.join(failed)}")
        return status
    if len(args.words) > 1:
        raise InvalidArgument("you cannot start and attach multiple containers at once")
    found = ctx.engine.get(f"/containers/{quote(args.words[0])}/json")
    config = found["Config"]
    attachment = Attachment(
        ctx,
        found["Id"],
        {"Tty": config["Tty"]},
        stdin=args.on("interactive") and config["OpenStdin"],
        proxy=not config["Tty"],
        detach_keys=args.text("detach-keys"),
    )
    waiting = wait_for_exit(ctx, found["Id"], "removed" if found["HostConfig"]["AutoRemove"] else "next-exit")
    with contextlib.suppress(NotModified):
        ctx.engine.post(f"/containers/{found['Id']}/start")
    if not attachment.run():
        return 0
    return exit_code(ctx, waiting)


COMMANDS = (
    Command(
        "attach",
        "Attach local standard input, output, and error streams to a running container",
        run_attach,
        "CONTAINER",
        1,
        1,
        flags=(
            DETACH_KEYS,
            switch("no-stdin", "Do not attach STDIN"),
            switch("sig-proxy", "Proxy all received signals to the process", default=True, shown="true"),
        ),
        examples=("attach web",),
        completes=("containers",),
    ),
    Command(
        "start",
        "Start one or more stopped containers",
        run_start,
        "CONTAINER [CONTAINER...]",
        1,
        flags=(
            switch("attach", "Attach STDOUT and STDERR, and pass signals on", "a"),
            DETACH_KEYS,
            switch("interactive", "Attach the container's STDIN", "i"),
        ),
        examples=("start web", "start -ai shell"),
        completes=("containers",),
    ),
)
