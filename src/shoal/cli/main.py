"""The ``shoal`` command: finds the command's module, loads it, parses, runs, and turns errors into exit codes.

This is the only module that imports late, so that a command pays for what it needs and no more.
"""

import importlib
import os
import sys
from typing import Any

from shoal.cli.command import PROGRAM, Command, Flag, Group, PlainError, UsageError
from shoal.cli.context import Context
from shoal.cli.index import COMMON, MODULES, NOUNS, SHORTHANDS, SWARM, locate, names_of
from shoal.cli.kinds import LIST, switch, text_flag
from shoal.cli.parse import BAD_FLAG, collect, parse, split
from shoal.client.engine import Engine
from shoal.client.registry import config_directory
from shoal.client.transport import parse_endpoint
from shoal.errors import InvalidArgument, ShoalError
from shoal.version import VERSION

SOCKETS = ("/run/shoal/shoal.sock", "/var/run/docker.sock")
GLOBAL_FLAGS = (
    text_flag("config", "Directory of the client's configuration"),
    text_flag("context", "Accepted for compatibility", "c"),
    switch("debug", "Print the traceback of an unexpected error", "D"),
    Flag("host", LIST, "Daemon to connect to: unix://PATH or tcp://HOST[:PORT]", "H"),
    text_flag("log-level", "Accepted for compatibility", "l", default="info"),
    switch("tls", "Use TLS; implied by --tlsverify"),
    text_flag("tlscacert", "Trust certificates that this CA signed"),
    text_flag("tlscert", "TLS certificate file"),
    text_flag("tlskey", "TLS key file"),
    switch("tlsverify", "Use TLS and verify the daemon"),
    switch("version", "Print the version and quit", "v"),
)


def main() -> None:
    """The console script."""
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        status = 1
    # Nothing is left to tear down, and the interpreter would take 5 ms over it.
    os._exit(status)


def run(argv: list[str]) -> int:
    """Run one command line and return its exit code; everything is printed."""
    try:
        words, values = _globals(argv)
        if values["version"]:
            sys.stdout.write(f"Shoal version {VERSION}\n")
            return 0
        if words and words[0] == "__complete":
            return int(load("shoal.cli.complete").complete(words[1:], _context(values, ""), load_command))
        return _dispatch(words, values)
    except UsageError as error:
        sys.stdout.flush()
        sys.stderr.write(f"{error}\n")
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return 1


def load(module: str) -> Any:
    """A module by its name, loaded now."""
    return importlib.import_module(module)


def load_command(noun: str, verb: str) -> Command:
    """A command's row, from its module's ``COMMANDS``."""
    rows: tuple[Command, ...] = load(f"shoal.cli.commands.{MODULES[noun][verb]}").COMMANDS
    return next(row for row in rows if row.name == verb)


def load_group(noun: str) -> Group:
    """A noun with all its commands."""
    return Group(noun, NOUNS[noun], tuple(load_command(noun, verb) for verb in MODULES[noun]))


def _globals(argv: list[str]) -> tuple[list[str], dict[str, Any]]:
    try:
        words, pairs = split(GLOBAL_FLAGS, argv, interspersed=False)
        values, _ = collect(GLOBAL_FLAGS, pairs)
    except InvalidArgument as error:
        hint = f"Usage:  {PROGRAM} [OPTIONS] COMMAND [ARG...]\n\nRun '{PROGRAM} --help' for more information"
        raise UsageError(f"{error}\n\n{hint}", BAD_FLAG) from error
    return words, values


def _dispatch(words: list[str], values: dict[str, Any]) -> int:
    if words[:1] == ["help"]:
        words, values = words[1:], values | {"help": True}
        if words and words[0] not in NOUNS and locate(words) is None:
            raise UsageError(f"unknown help topic: {' '.join(words)}")
    if not words:
        sys.stdout.write(f"{overview()}\n")
        return 0
    found = locate(words)
    if found is None:
        return _no_command(words)
    noun, verb, count = found
    command = load_command(noun, verb)
    path = " ".join([PROGRAM, *words[:count]])
    args = parse(path, command, words[count:] if not values["help"] else ["--help"])
    if args.on("help"):
        names = [f"{PROGRAM} {name}" for name in names_of(noun, verb)]
        sys.stdout.write(f"{load('shoal.cli.help').command_help(path, command, names)}\n")
        return 0
    ctx = _context(values, path)
    try:
        return command.run(ctx, args)
    except ShoalError as error:
        if values["debug"]:
            raise
        text = str(error)
        if isinstance(error, PlainError):
            ctx.err(text)
            return 1
        if command.failure != 1:
            text = f"{PROGRAM}: {text}\n\nRun '{path} --help' for more information"
        ctx.err(text)
        return int(getattr(error, "status", command.failure))
    finally:
        ctx.close()


def _no_command(words: list[str]) -> int:
    if words[0] not in NOUNS:
        raise UsageError(
            f"{PROGRAM}: unknown command: {PROGRAM} {words[0]}\n\nRun '{PROGRAM} --help' for more information"
        )
    path = f"{PROGRAM} {words[0]}"
    if len(words) == 1 or words[1] in ("--help", "-h", "help"):
        # Asked for, help is an answer; for want of a command, a remark.
        stream = sys.stderr if len(words) == 1 else sys.stdout
        stream.write(f"{load('shoal.cli.help').group_help(load_group(words[0]))}\n")
        return 0
    if words[1].startswith("-"):
        raise UsageError(
            f"unknown flag: {words[1]}\n\nUsage:  {path} COMMAND\n\nRun '{path} --help' for more information", BAD_FLAG
        )
    raise UsageError(
        f"{PROGRAM}: unknown command: {path} {words[1]}\n\nUsage:  {path}\n\nRun '{path} --help' for more information"
    )


def overview() -> str:
    """The help of ``shoal`` itself."""
    summaries = {name: load_command(*SHORTHANDS.get(name, ("", name))).help for name in (*SHORTHANDS, *MODULES[""])}
    others = sorted(name for name in summaries if name not in COMMON)
    blocks = [
        ("Common Commands", [(name, summaries[name]) for name in COMMON]),
        ("Management Commands", [(name, NOUNS[name]) for name in NOUNS if name not in SWARM]),
        ("Swarm Commands", [(name, NOUNS[name]) for name in SWARM]),
        ("Commands", [(name, summaries[name]) for name in others]),
    ]
    parts = [f"Usage:  {PROGRAM} [OPTIONS] COMMAND", "A container engine and orchestrator that you can see through"]
    parts += [f"{title}:\n" + "\n".join(f"  {name:<11} {text}" for name, text in rows) for title, rows in blocks]
    parts.append("Global Options:\n" + str(load("shoal.cli.help").flag_lines(GLOBAL_FLAGS)))
    parts.append(f"Run '{PROGRAM} COMMAND --help' for more information on a command.")
    return "\n\n".join(parts)


def _context(values: dict[str, Any], path: str) -> Context:
    directory = config_directory(values["config"])

    def connect() -> Engine:
        return Engine(
            parse_endpoint(host_of(values["host"]), _tls(values, directory)),
            version=os.environ.get("DOCKER_API_VERSION") or None,
        )

    return Context(connect=connect, config_dir=directory, load=load, path=path)


def host_of(given: list[str] | None) -> str:
    """The daemon to talk to: the flag, ``$SHOAL_HOST``, ``$DOCKER_HOST``, the first default socket that exists."""
    if given:
        if len(given) > 1:
            raise InvalidArgument("specify only one -H")
        return given[0]
    chosen = os.environ.get("SHOAL_HOST") or os.environ.get("DOCKER_HOST")
    return chosen or "unix://" + next((path for path in SOCKETS if os.path.exists(path)), SOCKETS[0])


def _tls(values: dict[str, Any], directory: str) -> Any:
    verify = values["tlsverify"] or bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (verify or values["tls"]):
        return None
    base = os.environ.get("DOCKER_CERT_PATH") or directory
    cert = values["tlscert"] or os.path.join(base, "cert.pem")
    key = values["tlskey"] or os.path.join(base, "key.pem")
    return load("shoal.client.tls").tls_wrap(
        ca=values["tlscacert"] or os.path.join(base, "ca.pem"),
        cert=cert if values["tlscert"] or os.path.exists(cert) else "",
        key=key,
        verify=verify,
    )


if __name__ == "__main__":
    main()
