"""What the commands of ``shoal lab`` have in common: which lab, and how it is shown."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from shoal.cli.command import Arguments, Flag
from shoal.cli.kinds import text_flag
from shoal.cli.progress import Display
from shoal.errors import Forbidden
from shoal.lab.state import ROOT

NAME = "lab"
FLAGS: tuple[Flag, ...] = (
    text_flag("name", "Which lab, where there are several", default=NAME),
    text_flag("root", "Folder of the labs", default=str(ROOT)),
)


def need_root() -> None:
    """Raise Forbidden for who is not root."""
    if os.geteuid():
        raise Forbidden("a lab needs root privileges: run this with sudo")


def place(args: Arguments) -> tuple[str, Path]:
    """Which lab is meant: its name, and the folder of the labs."""
    return args.text("name"), Path(args.text("root"))


def spelled(args: Arguments) -> str:
    """The flags that name this lab, with a blank in front; nothing for the usual one."""
    usual = {"name": NAME, "root": str(ROOT)}
    return "".join(f" --{flag} {args.text(flag)}" for flag in usual if args.text(flag) != usual[flag])


def progress() -> Callable[[str, str], None]:
    """Shows what becomes of each host, from any thread: a line of the terminal each, or just lines."""
    display, turn = Display(sys.stdout), threading.Lock()

    def say(host: str, what: str) -> None:
        with turn:
            display.show({"id": host, "status": what, "progressDetail": {}})

    return say
