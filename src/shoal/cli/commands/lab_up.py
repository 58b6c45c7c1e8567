"""``shoal lab up``, ``load`` and ``down``: a lab as a whole."""

import tempfile
import time
from pathlib import Path

from shoal.cli.command import PROGRAM, Arguments, Command, Flag, Kind
from shoal.cli.context import Context
from shoal.cli.kinds import DURATION, INT, LIST, parse_float, parse_int, text_flag
from shoal.cli.labflags import FLAGS, need_root, place, progress, spelled
from shoal.errors import InvalidArgument, NotFound, ShoalError
from shoal.lab.lab import Lab
from shoal.lab.state import Wish


def parse_percent(text: str) -> float:
    """A share in percent: ``1%``, ``0.5%``. Raises InvalidArgument."""
    if not text.endswith("%"):
        raise InvalidArgument("missing % at its end")
    return parse_float(text[:-1])


def run_up(ctx: Context, args: Arguments) -> int:
    """Make a lab."""
    need_root()
    name, root = place(args)
    wish = Wish(
        count=_count(args.words[0]),
        managers=args["managers"],
        latency=args["latency"],
        loss=args["loss"],
        mtu=args["mtu"],
        name=name,
        subnet=args.text("subnet"),
        images=tuple(Path(image) for image in args.items("image")),
        flags=tuple(args.words[1:]),
        root=root,
    )
    began = time.monotonic()
    lab = Lab.planned(wish)
    try:
        lab.make(wish, progress())
    except (ShoalError, KeyboardInterrupt) as error:
        ctx.err(str(error) or "interrupted")
        ctx.err(f"What has been made so far is there: '{PROGRAM} lab down{spelled(args)}' removes it.")
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    ctx.out(_summary(lab, wish, args, time.monotonic() - began))
    return 0


def _count(text: str) -> int:
    try:
        return parse_int(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"how many hosts? {text!r} is no number") from error


def _summary(lab: Lab, wish: Wish, args: Arguments, seconds: float) -> str:
    """How long it took, and how to look around."""
    last = lab.hosts[-1]
    plural = "s are" if wish.count > 1 else " is"
    lines = [f"{wish.count} host{plural} up after {seconds:.1f} s: {_swarm(lab, wish)}."]
    hints = (
        (f"exec {last.name} -- bash", "a shell in a host, or any other command"),
        (f"env {last.name}", f'with eval "$(...)", docker and {PROGRAM} talk to {last.name}'),
        (f"cut {last.name}", "its frames vanish, until heal; pause, kill, start, reboot"),
        ("down", "removes everything"),
    )
    rows = [(f"{PROGRAM} lab{_after(spelled(args), words)}", text) for words, text in hints]
    rows.append((f"curl http://{last.address}/", "hosts answer from here, too"))
    width = max(len(command) for command, _ in rows)
    return "\n".join([*lines, *(f"  {command.ljust(width)}   {text}" for command, text in rows)])


def _after(flags: str, words: str) -> str:
    """A command's words with the lab's flags behind its verb."""
    verb, _, rest = words.partition(" ")
    return f" {verb}{flags}" + (f" {rest}" if rest else "")


def _swarm(lab: Lab, wish: Wish) -> str:
    if not wish.managers:
        return f"no swarm, {lab.subnet}"
    many = f"{wish.managers} managers" if wish.managers != 1 else f"{lab.hosts[0].name} is manager"
    return f"a swarm of {len(lab.hosts)}, {many}, {lab.subnet}"


def run_load(ctx: Context, args: Arguments) -> int:
    """Put images on every host."""
    need_root()
    lab = Lab.open(*place(args))
    files = [Path(word) for word in args.words if Path(word).is_file()]
    images = [word for word in args.words if not Path(word).is_file()]
    say = progress()
    off: list[str] = []
    with tempfile.TemporaryDirectory(dir=lab.folder, prefix="load-") as folder:
        if images:
            archive = Path(folder) / "images.tar"
            with open(archive, "wb") as file:
                for piece in ctx.engine.stream("GET", "/images/get", {"names": images}).chunks():
                    file.write(piece)
            files.append(archive)
        for path in files:
            off = lab.load(path, say)
    for name in off:
        ctx.err(f"{name} is not running and has not got them")
    return 1 if off else 0


def run_down(ctx: Context, args: Arguments) -> int:
    """Remove a lab."""
    need_root()
    began = time.monotonic()
    try:
        lab = Lab.open(*place(args))
    except NotFound as error:
        ctx.err(str(error))
        return 0
    lab.down()
    ctx.out(f"{lab.name}: removed after {time.monotonic() - began:.1f} s")
    return 0


PERCENT = Kind("percent", parse_percent)
COMMANDS = (
    Command(
        "up",
        "Make a lab: start its hosts and form a Swarm",
        run_up,
        "HOSTS [-- SHOALD_FLAG...]",
        1,
        flags=(
            *FLAGS,
            Flag("managers", INT, "How many hosts are managers; 0 for no Swarm", default=1, shown="1"),
            Flag("latency", DURATION, "Time that a frame takes from one host to another, one way", default=0),
            Flag("loss", PERCENT, "Share of the frames that get lost between two hosts, such as 1%", default=0.0),
            Flag("mtu", INT, "MTU of the network between the hosts", default=1500, shown="1500"),
            text_flag("subnet", "Addresses of the hosts (default a free /24 of 192.168.0.0/16)"),
            Flag("image", LIST, "Archive (as of docker save) to load on every host"),
        ),
        examples=(
            "lab up 3",
            "lab up 3 --image nginx.tar --latency 10ms --loss 1%",
            "lab up 5 --managers 3 --name big -- --debug",
        ),
        detail=(
            "Each host is a machine of its own as far as it can see: network, mounts,\nprocesses, hostname, /run, data"
            " root, shoald and containerd. Other files are\nthis machine's. The hosts are called node1, node2, ...; so"
            " are their ports on\nthe bridge, in the network namespace shoal-lab-NAME."
        ),
    ),
    Command(
        "load",
        "Put images on every host of a lab",
        run_load,
        "FILE|IMAGE [FILE|IMAGE...]",
        1,
        flags=FLAGS,
        examples=("lab load nginx.tar", "lab load nginx:latest"),
        completes=("images",),
        detail="A FILE is an archive as of docker save; an IMAGE comes from the engine that\nDOCKER_HOST names.",
    ),
    Command("down", "Remove a lab and all that is in it", run_down, most=0, flags=FLAGS, examples=("lab down",)),
)
