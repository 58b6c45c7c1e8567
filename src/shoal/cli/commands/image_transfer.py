"""Images in and out: pull, push, load, import, save."""

import os
import sys
from collections.abc import Iterator

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.context import Context
from shoal.cli.imagenames import split_reference
from shoal.cli.kinds import LIST, switch, text_flag
from shoal.cli.progress import show_messages
from shoal.client.engine import json_lines, quote
from shoal.client.registry import auth_header, auth_of, registry_of
from shoal.errors import InvalidArgument

CHUNK = 1 << 16
CONTENT_TRUST = switch("disable-content-trust", "Accepted for compatibility", default=True, shown="true")


def full_name(name: str) -> str:
    """A name with its registry, as pull prints it at its end."""
    first, separator, _ = name.partition("/")
    if separator and (set(".:") & set(first) or first == "localhost"):
        return name
    return f"docker.io/{name}" if separator else f"docker.io/library/{name}"


def run_pull(ctx: Context, args: Arguments) -> int:
    """Pull an image."""
    name = args.words[0]
    repository, tag = split_reference(name)
    every = args.on("all-tags")
    if every and tag:
        raise InvalidArgument("tag can't be used with --all-tags/-a")
    if not tag and not every:
        tag = "latest"
        if not args.on("quiet"):
            ctx.out(f"Using default tag: {tag}")
            sys.stdout.flush()
    query = {"fromImage": repository, "tag": tag, "platform": args.text("platform")}
    header = auth_header(auth_of(ctx.config, registry_of(name)))
    response = ctx.engine.stream("POST", "/images/create", query, headers=header)
    if args.on("quiet"):
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            show_messages(json_lines(response), nowhere)
    else:
        show_messages(json_lines(response), sys.stdout)
    separator = "@" if tag.startswith("sha256:") else ":"
    ctx.out(full_name(repository) + (f"{separator}{tag}" if tag else ""))
    return 0


def run_push(ctx: Context, args: Arguments) -> int:
    """Push an image to its registry."""
    name = args.words[0]
    repository, tag = split_reference(name)
    if args.on("all-tags"):
        if tag:
            raise InvalidArgument("tag can't be used with --all-tags/-a")
    elif not tag:
        tag = "latest"
        if not args.on("quiet"):
            ctx.out(f"Using default tag: {tag}")
            sys.stdout.flush()
    header = auth_header(auth_of(ctx.config, registry_of(name)))
    response = ctx.engine.stream("POST", f"/images/{quote_path(repository)}/push", {"tag": tag}, headers=header)
    if args.on("quiet"):
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            show_messages(json_lines(response), nowhere)
        ctx.out(full_name(f"{repository}:{tag}" if tag else repository))
    else:
        show_messages(json_lines(response), sys.stdout)
    return 0


def quote_path(name: str) -> str:
    """A repository within a path: its slashes stay."""
    return "/".join(quote(part) for part in name.split("/"))


def read_file(path: str) -> Iterator[bytes]:
    """A file's content in pieces; ``-`` or nothing is stdin. Raises InvalidArgument."""
    if path in ("", "-"):
        while piece := os.read(sys.stdin.fileno(), CHUNK):
            yield piece
        return
    try:
        with open(path, "rb") as file:
            while piece := file.read(CHUNK):
                yield piece
    except OSError as error:
        raise InvalidArgument(f"open {path}: {(error.strerror or '').lower()}") from error


def run_load(ctx: Context, args: Arguments) -> int:
    """Load images from an archive."""
    path = args.text("input")
    if not path and sys.stdin.isatty():
        raise InvalidArgument("requested load from stdin, but stdin is empty")
    if path and not os.path.exists(path):
        raise InvalidArgument(f"open {path}: no such file or directory")
    quiet = args.on("quiet") or not sys.stdout.isatty()
    response = ctx.engine.stream("POST", "/images/load", {"quiet": quiet}, body=read_file(path))
    show_messages(json_lines(response), sys.stdout)
    return 0


def run_import(ctx: Context, args: Arguments) -> int:
    """Make an image of a file system in an archive."""
    source = args.words[0]
    repository, tag = split_reference(args.words[1]) if len(args.words) > 1 else ("", "")
    remote = "://" in source
    query = {
        "fromSrc": source if remote else "-",
        "repo": repository,
        "tag": tag,
        "message": args.text("message"),
        "changes": args.items("change"),
        "platform": args.text("platform"),
    }
    if not remote and source != "-" and not os.path.exists(source):
        raise InvalidArgument(f"open {source}: no such file or directory")
    response = ctx.engine.stream("POST", "/images/create", query, body=None if remote else read_file(source))
    show_messages(json_lines(response), sys.stdout)
    return 0


def run_save(ctx: Context, args: Arguments) -> int:
    """Write images to an archive."""
    path = args.text("output")
    if not path and sys.stdout.isatty():
        raise InvalidArgument("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise InvalidArgument(f"failed to save image: invalid output path: stat {folder}: no such file or directory")
    response = ctx.engine.stream("GET", "/images/get", {"names": args.words})
    save(ctx, response.chunks(), path)
    return 0


def save(ctx: Context, chunks: Iterator[bytes], path: str) -> None:
    """Write to stdout, or to a file that appears only when it is whole."""
    if not path:
        for chunk in chunks:
            ctx.write(chunk)
        return
    scratch = f"{path}.{os.getpid()}"
    try:
        with open(scratch, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


PLATFORM = text_flag("platform", "Platform, when the daemon has several")
COMMANDS = (
    Command(
        "pull",
        "Download an image from a registry",
        run_pull,
        "NAME[:TAG|@DIGEST]",
        1,
        1,
        flags=(
            switch("all-tags", "Download all tags of the repository", "a"),
            CONTENT_TRUST,
            PLATFORM,
            switch("quiet", "Suppress verbose output", "q"),
        ),
        examples=("pull nginx:1.25",),
        completes=("images",),
    ),
    Command(
        "push",
        "Upload an image to a registry",
        run_push,
        "NAME[:TAG]",
        1,
        1,
        flags=(
            switch("all-tags", "Push all tags of the repository", "a"),
            CONTENT_TRUST,
            PLATFORM,
            switch("quiet", "Suppress verbose output", "q"),
        ),
        examples=("push registry.example:5000/web:1.0",),
        completes=("images",),
    ),
    Command(
        "load",
        "Load an image from a tar archive or STDIN",
        run_load,
        most=0,
        flags=(
            text_flag("input", "Read from this file instead of STDIN", "i"),
            PLATFORM,
            switch("quiet", "Suppress the load output", "q"),
        ),
        examples=("load -i images.tar",),
    ),
    Command(
        "import",
        "Import the contents from a tarball to create a filesystem image",
        run_import,
        "file|URL|- [REPOSITORY[:TAG]]",
        1,
        2,
        flags=(
            Flag("change", LIST, "Apply a Dockerfile instruction to the image", "c"),
            text_flag("message", "Comment on the image", "m"),
            PLATFORM,
        ),
        examples=("import rootfs.tar base:latest", "import -c 'CMD [\"sh\"]' - base < rootfs.tar"),
    ),
    Command(
        "save",
        "Save one or more images to a tar archive (streamed to STDOUT by default)",
        run_save,
        "IMAGE [IMAGE...]",
        1,
        flags=(text_flag("output", "Write to this file instead of STDOUT", "o"), PLATFORM),
        examples=("save -o images.tar nginx busybox",),
        completes=("images",),
    ),
)
