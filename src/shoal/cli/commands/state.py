"""``shoal state``: a swarm's state as one file."""

import json
import os
import sys
from collections.abc import Iterator

from shoal.cli.command import Arguments, Command
from shoal.cli.commands.image_transfer import read_file
from shoal.cli.context import Context
from shoal.cli.kinds import switch, text_flag
from shoal.errors import InvalidArgument

_PATH = "/shoal/v1/state"


def run_export(ctx: Context, args: Arguments) -> int:
    """Write a backup."""
    path = args.words[0]
    if path == "-":
        if sys.stdout.isatty():
            raise InvalidArgument("the backup is no text: redirect it, or name a file")
        for chunk in ctx.engine.stream("GET", _PATH).chunks():
            ctx.write(chunk)
        return 0
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise InvalidArgument(f"open {path}: no such file or directory")
    save(ctx.engine.stream("GET", _PATH).chunks(), path, folder)
    ctx.err(f"{path} holds the swarm's keys and tokens: keep it where only you can read it")
    return 0


def save(chunks: Iterator[bytes], path: str, folder: str) -> None:
    """Write a file for its owner alone, which appears, synced, only when it is whole."""
    scratch = f"{path}.{os.getpid()}"
    try:
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        if os.path.exists(scratch):
            os.unlink(scratch)
        raise
    parent = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def run_import(ctx: Context, args: Arguments) -> int:
    """Found the swarm of a backup again."""
    path = args.words[0]
    if path != "-" and not os.path.exists(path):
        raise InvalidArgument(f"open {path}: no such file or directory")
    query = {"force": args.on("force"), "listen": args.text("listen-addr"), "advertise": args.text("advertise-addr")}
    response = ctx.engine.stream("POST", _PATH, query, body=read_file(path))
    answer = json.loads(response.read())
    ctx.out(
        f"Swarm {answer['ClusterID']} is back as it was at {answer['Created']} (revision {answer['Revision']}, "
        f"{answer['Objects']} objects); this node is its manager {answer['NodeID']}."
    )
    return 0


COMMANDS = (
    Command(
        "export",
        "Write the swarm's state to a file, while everything runs",
        run_export,
        "FILE|-",
        1,
        1,
        examples=("state export swarm.tar", "state export - | ssh backup 'umask 077; cat >swarm.tar'"),
        detail=(
            "The file is the swarm at one moment: services, tasks, networks, nodes, tokens and\n"
            "the key of its authority. Whoever can read it can join the swarm as a manager.\n"
            "Images, volumes and plain containers are not in it."
        ),
    ),
    Command(
        "import",
        "Found the swarm of an exported file again on this machine",
        run_import,
        "FILE|-",
        1,
        1,
        flags=(
            switch("force", "Put it in the place of the swarm that this node is in", "f"),
            text_flag("advertise-addr", "Address that others reach this node at (format: <ip|interface>[:port])"),
            text_flag("listen-addr", "Address to listen on (format: <ip|interface>[:port])"),
        ),
        examples=("state import swarm.tar", "state import --force - < swarm.tar"),
        detail=(
            "The swarm comes back with the same ids, tokens and authority; this machine takes\n"
            "the place of the manager that wrote the file, and starts its tasks. On that very\n"
            "node, tasks that still run are taken over."
        ),
    ),
)
