"""The long runs: ``python -m tests.faults.soak [--rounds N] [property ...]``, as root, with dev's installation.

Each property has a machine of its own, a box with a shoald where it needs one, and one line at the end. The status is
1 when one of them does not hold.
"""

import argparse
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.e2e.harness import Machine
from tests.faults import rounds
from tests.faults.alone import alone
from tests.faults.cycles import Broken, crashes, killings
from tests.faults.drift import drift
from tests.faults.managers import managers
from tests.faults.pairs import pairs
from tests.faults.restarts import restarts
from tests.faults.spread import spread
from tools.box import BoxError
from tools.engine import EngineError

# It gives its line, or raises Broken.
Property = Callable[[], str]

_FAILURES = (Broken, AssertionError, EngineError, BoxError, subprocess.TimeoutExpired)


def check(name: str, holds: Property) -> tuple[bool, str]:
    """Whether it holds, and the line."""
    try:
        return True, f"{name}: {holds()}"
    except _FAILURES as error:
        return False, f"{name}: broken: {error}"


def in_box(holds: Callable[[Machine], str]) -> str:
    """A property's line, on a machine made for it, with an engine and nothing in it but images. Raises what it raises,
    and Broken for what is left behind."""
    machine = Machine(Path(tempfile.mkdtemp(prefix="shoal-soak-")), flags=rounds.FLAGS)
    try:
        machine.start()
        line = holds(machine)
    except BaseException:
        with suppress(*_FAILURES):
            machine.stop()
        raise
    if left := machine.stop():
        raise Broken(f"{line}; but left behind:\n" + "\n".join(left))
    return line


def main(arguments: Sequence[str]) -> int:
    """Run the properties that are named, or all."""
    parser = argparse.ArgumentParser(prog="soak", description="Run for long, and look at what does not hold.")
    parser.add_argument("--rounds", type=int, default=500, help="rounds of a service's life (default 500)")
    parser.add_argument("--crashes", type=int, default=200, help="deaths of shoald (default 200)")
    parser.add_argument("--requests", type=int, default=10_000, help="of each target in restarts (default 10000)")
    parser.add_argument("--minutes", type=float, default=10, help="without a manager in alone (default 10)")
    parser.add_argument("--operations", type=int, default=2000, help="writes to three managers (default 2000)")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(10**6), help="where it dies, which pairs, and so on"
    )
    parser.add_argument("property", nargs="*", help="what to run (default all)")
    options = parser.parse_args(arguments)
    properties: dict[str, Property] = {
        "drift": partial(in_box, partial(drift, seconds=2.0)),
        "pairs": partial(pairs, seed=options.seed, seconds=2.0),
        "crash": partial(in_box, partial(crashes, rounds=options.crashes, seed=options.seed)),
        "killings": partial(in_box, partial(killings, lives=options.crashes // 5, seed=options.seed)),
        "restarts": partial(in_box, partial(restarts, requests=options.requests)),
        "managers": partial(managers, operations=options.operations, seed=options.seed),
        "rounds": partial(in_box, partial(rounds.run, rounds=options.rounds)),
        "spread": partial(spread, changes=20, milliseconds=100),
        "alone": partial(alone, minutes=options.minutes),
    }
    if unknown := set(options.property) - set(properties):
        parser.error(f"no property {', '.join(sorted(unknown))}; there are {', '.join(properties)}")
    seen = [check(name, properties[name]) for name in options.property or properties]
    print()
    for _, line in seen:
        print(line)
    return 0 if all(holds for holds, _ in seen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
