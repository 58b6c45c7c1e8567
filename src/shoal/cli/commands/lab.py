"""``shoal lab``: what is done to the hosts of a lab, and in them."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator

from shoal.cli.command import PROGRAM, Arguments, Command, Run
from shoal.cli.context import Context
from shoal.cli.kinds import format_flag
from shoal.cli.labflags import FLAGS, need_root, place, spelled
from shoal.cli.listing import Column, Listing
from shoal.cli.many import for_each
from shoal.errors import InvalidArgument
from shoal.lab.host import Host
from shoal.lab.lab import Lab
from shoal.lab.state import EVERYBODY, names


def _others(lab: Lab, host: Host) -> Iterator[str]:
    for cut in lab.cuts:
        if host.name in cut:
            other = cut[1] if cut[0] == host.name else cut[0]
            yield "everybody" if other == EVERYBODY else other


LISTING = Listing(
    "lab.host",
    (
        Column("Lab", "LAB", lambda row: row[0].name),
        Column("Host", "HOST", lambda row: row[1].name),
        Column("Address", "ADDRESS", lambda row: row[1].address),
        Column("State", "STATE", lambda row: row[1].condition.value),
        Column("CutOffFrom", "CUT OFF FROM", lambda row: ", ".join(_others(*row))),
        Column("DockerHost", "DOCKER_HOST", lambda row: row[1].docker_host),
    ),
    ("Lab", "Host", "Address", "State", "CutOffFrom"),
)


def run_ls(ctx: Context, args: Arguments) -> int:
    """List the hosts of all labs, or of the one that is named."""
    name, root = place(args)
    labs = [Lab.open(found, root) for found in ([name] if args.given("name") else names(root))]
    LISTING.show(ctx, [(lab, host) for lab in labs for host in lab.hosts], args.text("format"))
    return 0


def run_exec(ctx: Context, args: Arguments) -> int:
    """Become a command in the host."""
    need_root()
    name, *command = args.words
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise InvalidArgument(f"run what? {PROGRAM} lab exec {name} -- COMMAND")
    words = Lab.open(*place(args)).host(name).enter(command)
    sys.stdout.flush()
    os.execvp(words[0], words)


def run_env(ctx: Context, args: Arguments) -> int:
    """Print what a shell is to evaluate."""
    name = args.words[0]
    ctx.out(f"export DOCKER_HOST={shlex.quote(Lab.open(*place(args)).host(name).docker_host)}")
    ctx.out(f'# eval "$({PROGRAM} lab env{spelled(args)} {name})"')
    return 0


def run_cut(ctx: Context, args: Arguments) -> int:
    """Cut off."""
    need_root()
    Lab.open(*place(args)).cut(*pair(args))
    return 0


def run_heal(ctx: Context, args: Arguments) -> int:
    """Undo that."""
    need_root()
    Lab.open(*place(args)).heal(*pair(args))
    return 0


def pair(args: Arguments) -> list[str]:
    """``node2``, ``node2 from node3``, ``node2 node3``."""
    one, *rest = args.words
    if rest[:1] == ["from"]:
        rest = rest[1:]
        if not rest:
            raise InvalidArgument(f"{one} from whom?")
    if len(rest) > 1:
        raise InvalidArgument(f"one host from one other, or from everybody: {' '.join(args.words)}")
    return [one, *rest]


def _each(act: Callable[[Lab, str], None]) -> Run:
    """A command that does this to each of the hosts named."""

    def run(ctx: Context, args: Arguments) -> int:
        need_root()
        lab = Lab.open(*place(args))
        return for_each(ctx, args.words, lambda name: act(lab, name))

    return run


def _command(name: str, help_: str, act: Callable[[Lab, str], None]) -> Command:
    examples = (f"lab {name} node2",)
    completes = ("lab-hosts",)
    return Command(name, help_, _each(act), "HOST [HOST...]", 1, flags=FLAGS, examples=examples, completes=completes)


COMMANDS = (
    Command(
        "ls",
        "List labs and their hosts",
        run_ls,
        most=0,
        flags=(*FLAGS, format_flag()),
        examples=("lab ls", "lab ls --format '{{.Host}} {{.DockerHost}}'"),
        aliases=("list",),
    ),
    Command(
        "exec",
        "Run a command in a host",
        run_exec,
        "HOST -- COMMAND [ARG...]",
        1,
        flags=FLAGS,
        examples=("lab exec node2 -- ip netns", "lab exec node2 -- bash", "lab exec node1 -- docker node ls"),
        interspersed=False,
        completes=("lab-hosts",),
        detail="It has the host's namespaces, and DOCKER_HOST leads to the host's shoald.",
    ),
    Command(
        "env",
        "Print what makes docker talk to a host",
        run_env,
        "HOST",
        1,
        1,
        flags=FLAGS,
        examples=('lab env node2   # eval "$(shoal lab env node2)"',),
        completes=("lab-hosts",),
    ),
    Command(
        "cut",
        "Let all frames of a host vanish, or those between two",
        run_cut,
        "HOST [from HOST]",
        1,
        3,
        flags=FLAGS,
        examples=("lab cut node2", "lab cut node2 from node3"),
        completes=("lab-hosts",),
        detail="Links keep their carrier: nobody is told.",
    ),
    Command(
        "heal",
        "Undo cut, all of a host's or that between two",
        run_heal,
        "HOST [from HOST]",
        1,
        3,
        flags=FLAGS,
        examples=("lab heal node2", "lab heal node2 from node3"),
        completes=("lab-hosts",),
    ),
    _command(
        "kill", "Cut hosts' power: every process dies at once, links vanish", lambda lab, name: lab.host(name).kill()
    ),
    _command("pause", "Freeze every process of hosts, containers' too", lambda lab, name: lab.host(name).pause()),
    _command("resume", "Let paused hosts go on", lambda lab, name: lab.host(name).resume()),
    _command("start", "Switch on hosts that are off", Lab.start),
    _command("reboot", "Kill and start hosts: only their data roots stay", Lab.reboot),
)
