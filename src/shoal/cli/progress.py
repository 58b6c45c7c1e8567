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
            raise Internal(f"Error response from daemon: {(message.get('errorDetail') or {}).get('message') or message['error']}")
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
        """Draw one message."""
        identifier = message.get("id", "")
        progress = bar(message.get("progressDetail") or {}, self._columns) if self._terminal else ""
        progress = progress or (str(message.get("progress", "")) if self._terminal else "")
        if message.get("progressDetail") and not self._terminal:
            return
        if not identifier or not self._terminal:
            self._line(message, progress)
            return
        up = 0
        if identifier in self._rows:
            up = len(self._rows) - self._rows[identifier]
        else:
            self._rows[identifier] = len(self._rows)
            self._stream.write("\n")
            up = 1
        self._stream.write(f"\x1b[{up}A\x1b[2K\r" if up else "\x1b[2K\r")
        self._stream.write(_text(message, progress))
        self._stream.write(f"\r\x1b[{up}B" if up else "\r")
        self._stream.flush()

    def _line(self, message: Json, progress: str) -> None:
        if "stream" in message:
            self._stream.write(message["stream"])
        else:
            self._stream.write(_text(message, progress) + "\n")
        self._stream.flush()


def _text(message: Json, progress: str) -> str:
    prefix = f"{message['id']}: " if message.get("id") else ""
    status = str(message.get("status", ""))
    return f"{prefix}{status} {progress}" if progress else f"{prefix}{status}"


def bar(detail: Json, columns: int = 200) -> str:
    """``[=====>     ]  1.2MB/3MB`` of a progress detail; empty when it has no numbers."""
    current, total = detail.get("current", 0), detail.get("total", 0)
    if current <= 0 and total <= 0:
        return ""
    if total <= 0:
        return f"{current} {detail['units']}" if detail.get("units") else f"{human_size(current):>8}"
    share = min(int(current / total * 100), 100) // 2
    drawn = ""
    if columns > 110:
        head = ">" if share < WIDTH else ""
        drawn = f"[{'=' * share}{head}{' ' * max(WIDTH - share - len(head), 0)}]  "
    if detail.get("hidecounts"):
        return drawn
    if detail.get("units"):
        return f"{drawn}{current}/{total} {detail['units']}"
    if current > total:
        return f"{drawn}{human_size(current):>8}"
    return f"{drawn}{human_size(current):>8}/{human_size(total)}"
