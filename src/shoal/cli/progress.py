"""Progress of pulls, pushes, loads and services: JSON messages, drawn on a terminal or line by line.

A message with an ``id`` owns a line of the terminal, which is drawn anew each time (Engine API, ImageCreate).
"""

import os
from collections.abc import Iterable
from typing import Any, TextIO

from shoal.cli.quantities import human_size
from shoal.client.engine import Json
from shoal.errors import Internal

WIDTH = 50


def show_messages(messages: Iterable[Any], stream: TextIO) -> list[Json]:
    """Draw a stream of messages and return what they carried in ``aux``. Raises Internal for an error among them."""
    display = Display(stream)
    extra: list[Json] = []
    for message in messages:
        if "errorDetail" in message or "error" in message:
            stream.flush()
            raise Internal((message.get("errorDetail") or {}).get("message") or message["error"])
        if message.get("aux") is not None:
            extra.append(message["aux"])
            continue
        display.show(message)
    stream.flush()
    return extra


class Display:
    """Where the messages go: the lines of a terminal that belong to ids, or just lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._columns = os.get_terminal_size(stream.fileno()).columns if self._terminal else 200
        self._rows: dict[str, int] = {}

    def show(self, message: Json) -> None:
        """Draw one message. Bars are for terminals only; elsewhere what has one is not shown."""
        detail = message.get("progressDetail")
        drawn = bar(detail or {}, self._columns)
        identifier = message.get("id", "")
        if not self._terminal or not identifier or detail is None:
            self._rows.clear()
            if self._terminal or not drawn:
                self._line(message)
            return
        if identifier not in self._rows:
            self._rows[identifier] = len(self._rows)
            self._stream.write("\n")
        up = len(self._rows) - self._rows[identifier]
        self._stream.write(f"\x1b[{up}A\x1b[2K\r{_text(message)} {drawn}\r\x1b[{up}B")
        self._stream.flush()

    def _line(self, message: Json) -> None:
        self._stream.write(message["stream"] if "stream" in message else f"{_text(message)}\n")
        self._stream.flush()


def _text(message: Json) -> str:
    return (f"{message['id']}: " if message.get("id") else "") + str(message.get("status", ""))


def bar(detail: Json, columns: int = 200) -> str:
    """``[=====>     ]  1.2MB/3MB`` of a progress detail; empty when it has no numbers."""
    current, total = detail.get("current", 0), detail.get("total", 0)
    if current <= 0 and total <= 0:
        return ""
    if total <= 0:
        return f"{current} {detail['units']}" if detail.get("units") else f"{human_size(current):>8}"
    share = min(int(current / total * 100), 100) // 2
    drawn = f"[{'=' * share}>{' ' * (WIDTH - share)}] " if columns > 110 else ""
    if detail.get("hidecounts"):
        return drawn
    if detail.get("units"):
        return f"{drawn}{current}/{total} {detail['units']}"
    if current > total:
        return f"{drawn}{human_size(current):>8}"
    return f"{drawn}{human_size(current):>8}/{human_size(total)}"
