"""What the word under the cursor may become: commands, flags, and the names of what the daemon has."""

from collections.abc import Callable

from shoal.cli.command import Command
from shoal.cli.context import Context
from shoal.cli.index import ALIASES, MODULES, NOUNS, SHORTHANDS, locate
from shoal.cli.kinds import BOOL
from shoal.errors import ShoalError

# What a command takes: where the daemon lists it, and the fields with the names.
SOURCES: dict[str, str] = {
    "containers": "/containers/json?all=1",
    "images": "/images/json",
    "networks": "/networks",
    "nodes": "/nodes",
    "services": "/services",
    "volumes": "/volumes",
}
FLAG_SOURCES = {
    "network": "networks",
    "volumes-from": "containers",
    "network-add": "networks",
    "network-rm": "networks",
}


def complete(words: list[str], ctx: Context, load: Callable[[str, str], Command]) -> int:
    """Print a line a candidate (word, tab, help); always succeeds, since nobody reads its errors."""
    *before, current = words or [""]
    for word, text in candidates(before, ctx, load):
        if word.startswith(current):
            ctx.out(f"{word}\t{text}" if text else word)
    return 0


def candidates(before: list[str], ctx: Context, load: Callable[[str, str], Command]) -> list[tuple[str, str]]:
    """All words that may follow, with their help."""
    plain = [word for word in before if not word.startswith("-")]
    if not plain:
        names = sorted({*NOUNS, *SHORTHANDS, *MODULES[""]})
        return [(name, NOUNS.get(name) or load(*SHORTHANDS.get(name, ("", name))).help) for name in names]
    found = locate(plain)
    if found is None:
        noun = plain[0]
        if noun not in NOUNS or len(plain) > 1:
            return []
        return [
            (verb, load(noun, verb).help)
            for verb in sorted((*MODULES[noun], *ALIASES.get(noun, ())))
            if verb in MODULES[noun]
        ]
    noun, verb, _ = found
    command = load(noun, verb)
    last = before[-1] if before else ""
    for flag in command.flags:
        if last in (f"--{flag.name}", f"-{flag.short}") and flag.kind is not BOOL:
            return names_of(ctx, FLAG_SOURCES[flag.name]) if flag.name in FLAG_SOURCES else []
    flags = [(f"--{flag.name}", flag.help) for flag in command.flags if not flag.hidden]
    return [item for kind in command.completes for item in names_of(ctx, kind)] + flags


def names_of(ctx: Context, kind: str) -> list[tuple[str, str]]:
    """The names of what the daemon has of a kind; none when it cannot be asked."""
    try:
        if kind == "lab-hosts":
            return lab_hosts(ctx)
        path, _, query = SOURCES[kind].partition("?")
        rows = ctx.engine.get(path, dict(pair.split("=") for pair in query.split("&")) if query else None)
    except ShoalError:
        return []
    match kind:
        case "containers":
            return [(name.lstrip("/"), row["Status"]) for row in rows for name in row["Names"]]
        case "images":
            return [(tag, "") for row in rows for tag in row.get("RepoTags") or ()]
        case "networks":
            return [(row["Name"], row["Driver"]) for row in rows]
        case "nodes":
            return [(row["Description"]["Hostname"], row["Status"]["State"]) for row in rows]
        case "services":
            return [(row["Spec"]["Name"], "") for row in rows]
        case _:
            return [(row["Name"], row["Driver"]) for row in rows["Volumes"] or ()]


def lab_hosts(ctx: Context) -> list[tuple[str, str]]:
    """The hosts of all labs in the usual place, whose state is this machine's and no daemon's."""
    labs = ctx.load("shoal.lab.state")
    found = [host for name in labs.names(labs.ROOT) for host in labs.load(labs.ROOT / name).hosts]
    return sorted({(host.name, "") for host in found})
