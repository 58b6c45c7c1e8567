"""Runs the lab's commands as a person would type them, prints them with their output, and counts what holds."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from walk.place import Place

_LINES_SHOWN = 60
_AGES = re.compile(
    r"(less than a second|about a minute|about an hour|\d+ (second|minute|hour)s?)( ago)?|\(healthy\)", re.IGNORECASE
)


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    out: str
    err: str
    status: int

    @property
    def text(self) -> str:
        return self.out + self.err

    def json(self) -> Any:
        """Its output as JSON; an empty list where it is none."""
        try:
            return json.loads(self.out)
        except ValueError:
            return []


class Transcript:
    """The one who types. ``clients`` are the commands that speak to the engine, the first of them for what changes
    something."""

    def __init__(self, *, place: Place, clients: tuple[str, ...], env: Mapping[str, str]) -> None:
        self.place = place
        self.clients = clients
        self._env = {**os.environ, **env}
        self._colours = sys.stdout.isatty()
        self.steps = 0
        self.held = 0
        self._failed = 0

    @property
    def client(self) -> str:
        return self.clients[0]

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step of the lab: it holds when all its checks do."""
        self.steps += 1
        self._failed = 0
        self._print(f"\n{self._in('1', f'{self.steps}. {title}')}\n")
        try:
            yield
        except (subprocess.TimeoutExpired, LookupError, ValueError) as error:
            self.check("the step goes through", False, found=f"{type(error).__name__}: {error}")
        self.held += not self._failed

    def say(self, sentence: str) -> None:
        """What the next command is for, or what was just seen."""
        self._print(self._in("2", f"# {sentence}") + "\n")

    def run(self, command: str, *, netns: str | None = None, lines: int = _LINES_SHOWN, fails: bool = False) -> Said:
        """Type a command and see it end. What ends with an error, unless ``fails``, is a check that does not hold."""
        self._show_command(command if netns is None else f"ip netns exec {netns} {command}")
        said = self.quiet(command, netns=netns)
        self._show_output(said.text, lines)
        if (said.status != 0) != fails:
            self.check("ends as expected", False, "an error" if fails else "status 0", f"status {said.status}")
        return said

    def watch(self, command: str) -> Said:
        """Type a command that reports its progress: at a terminal it has the terminal."""
        self._show_command(command)
        return self._at_terminal(command) if self._colours else self._by_lines(command)

    def quiet(self, command: str, *, netns: str | None = None, timeout: float = 60) -> Said:
        """Run a command without a word of it."""
        done = subprocess.run(
            self.place.enter(["sh", "-c", command], netns=netns),
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        return Said(done.stdout, done.stderr, done.returncode)

    def read(self, words: str, *, lines: int = _LINES_SHOWN, same: bool = True) -> Said:
        """The same reading command with every client; what the first one says. With ``same``, all must agree."""
        first = self.run(f"{self.clients[0]} {words}", lines=lines)
        for client in self.clients[1:]:
            other = self.quiet(f"{client} {words}")
            agrees = _gist(other.out) == _gist(first.out) and other.status == first.status
            self._show_command(f"{client} {words}")
            if agrees:
                self._print(self._in("2", f"(what {self.clients[0]} prints)") + "\n")
            else:
                self._show_output(other.text, lines)
            if same:
                self.check(f"{client} and {self.clients[0]} agree", agrees, "the same words", "others")
        return first

    def check(self, name: str, holds: object, expected: object = "", found: object = "") -> bool:
        """Note whether something holds; where it does not, say what was expected and what was found."""
        if holds:
            self._print(f"  {self._in('32', '✓')} {name}\n")
            return True
        self._failed += 1
        wanted = f": expected {expected}" if expected != "" else ""
        seen = f"{',' if wanted else ':'} found {found}" if found != "" else ""
        self._print(f"  {self._in('31', '✗')} {name}{wanted}{seen}\n")
        return False

    def eventually(self, name: str, look: Callable[[], object], *, seconds: float = 15, expected: object = "") -> bool:
        """Look until it is so: for what takes its moment."""
        deadline = time.monotonic() + seconds
        while not (seen := look()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.check(name, seen, expected, f"not so within {seconds:g} s" if not seen else "")

    def soon_nothing(self, name: str, left: Callable[[], list[str]], *, seconds: float = 10) -> bool:
        """Look until nothing is left; where something stays, it is listed."""
        deadline = time.monotonic() + seconds
        while (lines := left()) and time.monotonic() < deadline:
            time.sleep(0.25)
        return self.check(name, not lines, "nothing", "".join(f"\n      {line}" for line in lines))

    def note(self, text: str) -> None:
        """A line that is no command's."""
        self._print(f"{text}\n")

    def _at_terminal(self, command: str) -> Said:
        shown = bytearray()

        def copy(fd: int) -> bytes:
            data = os.read(fd, 1024)
            shown.extend(data)
            return data

        before = dict(os.environ)
        os.environ.update(self._env)
        try:
            status = pty.spawn(self.place.enter(["sh", "-c", command]), copy)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Said(shown.decode(errors="replace"), "", os.waitstatus_to_exitcode(status))

    def _by_lines(self, command: str) -> Said:
        process = subprocess.Popen(
            self.place.enter(["sh", "-c", command]),
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            # Where there is no terminal to draw on, clients print their progress again and again.
            if line not in lines[-5:]:
                self._print(line)
            lines.append(line)
        return Said("".join(lines), "", process.wait())

    def _show_command(self, command: str) -> None:
        self._print(self._in("1", f"$ {command}") + "\n")

    def _show_output(self, text: str, lines: int) -> None:
        all_lines = text.rstrip("\n").splitlines()
        shown = all_lines[:lines]
        if len(all_lines) > lines:
            shown.append(self._in("2", f"... ({len(all_lines) - lines} more lines)"))
        self._print("".join(f"{line}\n" for line in shown))

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text

    def _print(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _gist(text: str) -> list[list[str]]:
    """An output without what depends on the moment and on the width of columns."""
    return [_AGES.sub("AGE", line).split() for line in text.splitlines()]
