"""``shoal cp`` and ``export``: files out of containers and into them, as tar archives."""

import base64
import json
import os
import sys
import tarfile
from collections.abc import Iterator

from shoal.cli.command import Arguments, Command
from shoal.cli.commands.image_transfer import read_file, save
from shoal.cli.context import Context
from shoal.cli.kinds import switch, text_flag
from shoal.cli.quantities import human_size
from shoal.client.engine import Json, quote
from shoal.client.transport import Response
from shoal.errors import InvalidArgument, NotFound

DIRECTORY = 1 << 31  # os.FileMode's bit in the API's path stat
SYMLINK = 1 << 27


class ResponseFile:
    """A response's body as what ``tarfile`` reads from."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, fewer only at the end."""
        while len(self._rest) < size and (piece := self._response.read_some()):
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class Sink:
    """Collects what ``tarfile`` writes, to be sent piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep a piece."""
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """All pieces since the last call."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def split_target(text: str) -> tuple[str, str]:
    """``CONTAINER:PATH``; the container is empty for a local path (which may be absolute or begin with a dot)."""
    if text.startswith(("/", ".")):
        return "", text
    container, separator, path = text.partition(":")
    return (container, path) if separator else ("", text)


def stat(ctx: Context, container: str, path: str) -> Json:
    """What the path is in the container. Raises NotFound."""
    response = ctx.engine.call("HEAD", f"/containers/{quote(container)}/archive", {"path": path})
    found: Json = json.loads(base64.b64decode(response.headers["x-docker-container-path-stat"]))
    return found


def run_cp(ctx: Context, args: Arguments) -> int:
    """Copy between a container and this machine."""
    (source_in, source), (target_in, target) = (split_target(word) for word in args.words)
    if source_in and target_in:
        raise InvalidArgument("copying between containers is not supported")
    if not source_in and not target_in:
        raise InvalidArgument("must specify at least one container source")
    if source_in:
        return copy_out(ctx, args, source_in, source, target)
    return copy_in(ctx, args, source, target_in, target)


def copy_out(ctx: Context, args: Arguments, container: str, path: str, target: str) -> int:
    """From the container to a path here, or as an archive to stdout."""
    if args.on("follow-link"):
        found = stat(ctx, container, path)
        if found["mode"] & SYMLINK and found["linkTarget"]:
            path = os.path.join(os.path.dirname(path), found["linkTarget"])
    response = ctx.engine.stream("GET", f"/containers/{quote(container)}/archive", {"path": path})
    if target == "-":
        for chunk in response.chunks():
            ctx.write(chunk)
        return 0
    into = os.path.isdir(target)
    if not into and target.endswith("/"):
        raise InvalidArgument(f"no such directory: {target}")
    folder = os.path.dirname(os.path.abspath(target.rstrip("/")))
    if not os.path.isdir(folder):
        raise InvalidArgument(f'invalid output path: directory "{folder}" does not exist')
    # ``DIR/.`` copies what is in it, under the target's own name.
    contents = path.endswith("/.") and into
    size = 0
    with tarfile.open(fileobj=ResponseFile(response), mode="r|") as archive:  # type: ignore[call-overload]
        first = ""
        for member in archive:
            first = first or member.name.split("/")[0]
            rest = member.name[len(first) :].lstrip("/")
            base = target if contents or not into else os.path.join(target, first)
            member.name = os.path.normpath(os.path.join(base, rest)) if rest else base
            parent, name = os.path.split(os.path.abspath(member.name))
            member.name = name
            archive.extract(
                member, parent, numeric_owner=True, filter="tar" if not args.on("archive") else "fully_trusted"
            )
            size += member.size
    _told(ctx, args, size, f"{os.path.abspath(target)}")
    return 0


def copy_in(ctx: Context, args: Arguments, source: str, container: str, path: str) -> int:
    """From a path here, or an archive on stdin, into the container."""
    if source == "-":
        _put(ctx, container, path, read_file("-"))
        return 0
    if not os.path.lexists(source):
        raise InvalidArgument(f"lstat {source}: no such file or directory")
    directory, name = path, os.path.basename(os.path.abspath(source))
    try:
        into = bool(stat(ctx, container, path)["mode"] & DIRECTORY)
    except NotFound:
        if path.endswith("/"):
            raise
        into = False
    if source.endswith("/.") and into:
        name = "."
    elif not into:
        directory, name = os.path.split(path.rstrip("/"))
    sink = Sink()
    size = [0]
    _put(ctx, container, directory or "/", _archive(source, name, sink, size, follow=args.on("follow-link")))
    _told(ctx, args, size[0], f"{container}:{path}")
    return 0


def _archive(source: str, name: str, sink: Sink, size: list[int], *, follow: bool) -> Iterator[bytes]:
    # Streamed: a directory may be larger than memory.
    root = os.path.realpath(source) if follow else source
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        paths = [(root, name)]
        for folder, folders, files in os.walk(root):
            inside = os.path.normpath(os.path.join(name, os.path.relpath(folder, root)))
            paths += [(os.path.join(folder, item), os.path.join(inside, item)) for item in (*folders, *files)]
        for path, inside in paths:
            member = archive.gettarinfo(path, inside)
            if member is None:
                continue
            size[0] += member.size
            if member.isreg():
                with open(path, "rb") as file:
                    archive.addfile(member, file)
            else:
                archive.addfile(member)
            yield sink.take()
    yield sink.take()


def _put(ctx: Context, container: str, path: str, body: Iterator[bytes]) -> None:
    query = {"path": path, "noOverwriteDirNonDir": "true"}
    ctx.engine.stream("PUT", f"/containers/{quote(container)}/archive", query, body=body).read()


def _told(ctx: Context, args: Arguments, size: int, where: str) -> None:
    if not args.on("quiet") and sys.stderr.isatty():
        ctx.err(f"Successfully copied {human_size(size, 3)} to {where}")


def run_export(ctx: Context, args: Arguments) -> int:
    """Write a container's file system as an archive."""
    path = args.text("output")
    if not path and sys.stdout.isatty():
        raise InvalidArgument("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    response = ctx.engine.stream("GET", f"/containers/{quote(args.words[0])}/export")
    save(ctx, response.chunks(), path)
    return 0


COMMANDS = (
    Command(
        "cp",
        "Copy files/folders between a container and the local filesystem",
        run_cp,
        "CONTAINER:SRC_PATH DEST_PATH|- or SRC_PATH|- CONTAINER:DEST_PATH",
        2,
        2,
        flags=(
            switch("archive", "Keep owners and groups", "a"),
            switch("follow-link", "Follow a symbolic link in SRC_PATH", "L"),
            switch("quiet", "Do not tell what was copied", "q"),
        ),
        examples=("cp web:/etc/nginx ./nginx", "cp index.html web:/usr/share/nginx/html/"),
        completes=("containers",),
    ),
    Command(
        "export",
        "Export a container's filesystem as a tar archive",
        run_export,
        "CONTAINER",
        1,
        1,
        flags=(text_flag("output", "Write to this file instead of STDOUT", "o"),),
        examples=("export -o web.tar web",),
        completes=("containers",),
    ),
)
