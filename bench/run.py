"""Compares Shoal with Debian's dockerd, on this machine, in one run.

    python bench/run.py [--quick] [--rounds N] [--json FILE]

Both engines run at once, each in namespaces of its own, and are measured in turns, so that what else the machine does
meets both. The figures are medians over all rounds. As root; what is installed is the caller's business
(``tools/setup.sh bench``); nothing is left behind.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import FrameType

import figures
from engineapi import Refused
from engines import Engine, dockerd, shoald
from table import Samples, format_table

_ROOT = Path(__file__).resolve().parents[1]
_ROUNDS = 3
# Past this many seconds no further round begins: the whole shall end within five minutes.
_ENOUGH = 200.0


class Bench:
    """One run: the engines, what was found, and what could not be measured."""

    def __init__(self, engines: Sequence[Engine], effort: figures.Effort, rounds: int) -> None:
        self._engines = engines
        self._effort = effort
        self._rounds = rounds
        self._since = time.monotonic()
        self._broken: set[tuple[str, str]] = set()
        self.samples = Samples()
        self.failures: list[str] = []
        self.versions: dict[str, str] = {}

    def run(self, images: list[Path]) -> None:
        """All of it."""
        for engine in self._engines:
            engine.start()
            self.versions[engine.name] = figures.version(engine)
        for _ in range(self._rounds):
            self._each("start", figures.starts)
        for engine in self._engines:
            figures.prepare(engine, images)
        self._each("memory", partial(figures.memory, when="no tasks"))
        for number in range(self._rounds):
            if time.monotonic() - self._since > _ENOUGH:
                self.failures.append(f"slow machine: {number} rounds of {self._rounds}")
                break
            self._say(f"round {number + 1} of {self._rounds}")
            self._round(reverse=number % 2 == 1)
        ids = {engine.name: figures.fill(engine) for engine in self._engines}
        for number in range(self._rounds):
            self._each(
                "requests",
                lambda engine: figures.requests(engine, self._effort, ids[engine.name]),
                reverse=number % 2 == 1,
            )
        self._each("memory after", partial(figures.memory, when="after all this"))

    def _round(self, *, reverse: bool) -> None:
        effort = self._effort
        self._each("docker run", lambda engine: figures.runs(engine, effort), reverse=reverse)
        self._each("networks", lambda engine: figures.networks(engine, effort), reverse=reverse)
        self._each("service of 2", lambda engine: figures.service(engine, effort, 2), reverse=reverse)
        self._each("service of 20", lambda engine: figures.service(engine, effort, 20, look=True), reverse=reverse)

    def _each(self, group: str, measure: Callable[[Engine], figures.Figures], *, reverse: bool = False) -> None:
        """Measure both engines. What fails once is noted, and not tried again."""
        for engine in reversed(self._engines) if reverse else self._engines:
            if (group, engine.name) in self._broken:
                continue
            try:
                for what, (unit, values) in measure(engine).items():
                    self.samples.add(what, unit, engine.name, values)
            except (Refused, OSError, RuntimeError, ValueError, LookupError, subprocess.SubprocessError) as error:
                self._broken.add((group, engine.name))
                self.failures.append(f"{engine.name}, {group}: {error!r}")

    def _say(self, text: str) -> None:
        print(f"bench: {text} ({time.monotonic() - self._since:.0f} s)", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print; 1 when something could not be measured."""
    parser = argparse.ArgumentParser(description="Compare Shoal with Debian's dockerd on this machine.")
    parser.add_argument("--quick", action="store_true", help="one round of few samples")
    parser.add_argument("--rounds", type=int, help=f"how often everything is measured (default {_ROUNDS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures, all samples, to FILE")
    parser.add_argument("--only", choices=("peer", "shoal"), help="measure one engine alone")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("bench: run this as root, it makes namespaces", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _interrupt)
    effort = figures.QUICK if options.quick else figures.THOROUGH
    rounds = options.rounds or (1 if options.quick else _ROUNDS)
    makers = [maker for maker in (dockerd, shoald) if options.only in (None, _NAMES[maker])]
    with ExitStack() as stack:
        engines: list[Engine] = []
        try:
            images = _images()
            for maker in makers:
                engines.append(maker())
                stack.callback(engines[-1].close)
            bench = Bench(engines, effort, rounds)
            bench.run(images)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("bench: interrupted", file=sys.stderr)
            return 130
    _report(bench, options.json)
    return 1 if bench.failures else 0


_NAMES: dict[Callable[[], Engine], str] = {dockerd: "peer", shoald: "shoal"}


def _images() -> list[Path]:
    """The archives, in the checkout's build folder, where they are made once."""
    tool = [sys.executable, str(_ROOT / "tools/images.py"), "--out", str(_ROOT / "build/images"), "busybox"]
    done = subprocess.run(tool, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return [Path(line) for line in done.stdout.splitlines()]


def _report(bench: Bench, path: Path | None) -> None:
    machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version}" for name, version in bench.versions.items())
    print(f"{machine}; {versions}; load {os.getloadavg()[0]:.1f}\n")
    print(format_table(bench.samples.rows()))
    print("\nratio: Shoal's figure in dockerd's; ! where dockerd is better.")
    for failure in bench.failures:
        print(f"not measured: {failure}")
    if path is not None:
        content = {
            "machine": machine,
            "versions": bench.versions,
            "figures": bench.samples.as_json(),
            "failures": bench.failures,
        }
        path.write_text(json.dumps(content, indent=1) + "\n")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
