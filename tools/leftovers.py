"""Whether something was left behind: compares the machine with what it was.

    python tools/leftovers.py snapshot FILE     writes down what there is
    python tools/leftovers.py compare FILE      1, and a line each, for what has come or gone since

It looks at the host's links, named network namespaces, nft tables, routes, routing rules, mounts, cgroups, the
processes that an engine starts, and the top level of the folders where engines leave files. Tearing down takes its
moment, so ``compare`` looks again for some seconds before it complains.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

Snapshot = dict[str, list[str]]

_PATIENCE = 5.0
_FOLDERS = ("/run", "/var/run", "/var/lib", "/etc", "/opt")
_COMMANDS = frozenset({"containerd", "containerd-shim", "ctr", "dockerd", "runc", "shoal", "shoald"})
# Made by iproute2 for everybody's namespaces, by whoever's first ``ip netns add``, and never removed.
_NETNS = "/run/netns"
# Processes come and go, ours and others'; of these kinds only what has come is worth a word.
_COME_ONLY = frozenset({"process", "cgroup"})


def take() -> Snapshot:
    """What there is now, sorted, by kind."""
    return {kind: sorted(set(look())) for kind, look in _KINDS.items()}


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """A line for each thing that has come (``+``) or gone (``-``)."""
    lines = []
    for kind in _KINDS:
        was, is_ = set(before.get(kind, [])), set(after.get(kind, []))
        lines += [f"+ {kind}: {thing}" for thing in sorted(is_ - was)]
        if kind not in _COME_ONLY:
            lines += [f"- {kind}: {thing}" for thing in sorted(was - is_)]
    return lines


def compare(before: Snapshot, patience: float = _PATIENCE) -> list[str]:
    """The differences between then and now, once there are none or ``patience`` seconds have passed."""
    end = time.monotonic() + patience
    while (lines := differences(before, take())) and time.monotonic() < end:
        time.sleep(0.25)
    return lines


def _links() -> Iterator[str]:
    yield from os.listdir("/sys/class/net")


def _namespaces() -> Iterator[str]:
    for folder in (Path(_NETNS), Path("/run/docker/netns")):
        if folder.is_dir():
            yield from (str(path) for path in folder.iterdir())


def _nft_tables() -> Iterator[str]:
    return (line for line in _output("nft", "list", "tables") if line)


def _routes() -> Iterator[str]:
    for family in ("-4", "-6"):
        for line in _output("ip", "-o", family, "route", "show", "table", "all"):
            # What a router announced counts down, and is announced anew.
            yield re.sub(r" (expires \d+sec|hoplimit \d+|pref \w+|linkdown|dead)", "", line).strip()


def _rules() -> Iterator[str]:
    for family in ("-4", "-6"):
        for line in _output("ip", family, "rule", "show"):
            yield f"{family} {line}"


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        kind = fields[fields.index("-") + 1]
        if fields[4] != _NETNS:
            yield f"{fields[4]} ({kind})"


def _cgroups() -> Iterator[str]:
    for folder, folders, _ in os.walk("/sys/fs/cgroup"):
        # systemd's own for logins and services come and go.
        folders[:] = [name for name in folders if name != "user.slice" and not name.endswith(".service")]
        yield folder


def _processes() -> Iterator[str]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        command, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
        ours = command in _COMMANDS or any(_is_ours(word) for word in words[:4])
        # A dead one that waits for its parent holds nothing.
        if ours and rest[0] != "Z":
            started = rest[19]
            yield f"{folder.name} (started at {started}) {' '.join(words).strip()[:200]}"


def _is_ours(word: str) -> bool:
    return word.startswith(("shoal.daemon", "shoal.keeper")) or word.endswith(("bin/shoald", "bin/shoal"))


def _files() -> Iterator[str]:
    for folder in {os.path.realpath(name) for name in _FOLDERS}:
        if os.path.isdir(folder):
            yield from (path for name in os.listdir(folder) if (path := os.path.join(folder, name)) != _NETNS)


def _output(*command: str) -> Iterator[str]:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    # ip fails for a family that the kernel does not have; there is nothing of it either.
    yield from result.stdout.splitlines()


_KINDS: Mapping[str, Callable[[], Iterator[str]]] = {
    "link": _links,
    "network namespace": _namespaces,
    "nft table": _nft_tables,
    "route": _routes,
    "rule": _rules,
    "mount": _mounts,
    "cgroup": _cgroups,
    "process": _processes,
    "file": _files,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a snapshot, or compare with one."""
    parser = argparse.ArgumentParser(description="Find what was left behind on this machine.")
    parser.add_argument("verb", choices=("snapshot", "compare"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    if options.verb == "snapshot":
        options.file.write_text(json.dumps(take(), indent=1))
        return 0
    lines = compare(json.loads(options.file.read_text()))
    if lines:
        sys.stderr.write("left behind (+) or missing (-) since the snapshot:\n")
        sys.stderr.writelines(f"  {line}\n" for line in lines)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
