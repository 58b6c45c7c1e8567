"""Ask for the same things again and again while something is done to the engine; how often, and what was not answered.

A process of its own in the box, so that it can stand in the neighbour's namespace or in a task's. It needs nothing but
Python's own library.
"""

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# How long one answer may take, in seconds: on a busy machine that may be a while.
_PATIENCE = 5.0
_PAUSE = 0.005


@dataclass
class Count:
    """What came of one kind of request: how many were made, and the reason of each that was not answered."""

    asked: int = 0
    lost: list[str] = field(default_factory=list)


class Load:
    """The process, from the first answer to everything on. :attr:`counts` are there once it has ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.counts: dict[str, Count] = {}

    def end(self) -> None:
        said, _ = self._process.communicate("", timeout=60)
        self.counts = {target: Count(**count) for target, count in json.loads(said).items()}

    def assert_nothing_lost(self, *, least: int) -> None:
        """Everything was answered, and each thing asked for at least so often."""
        for target, count in self.counts.items():
            assert not count.lost, f"{target}: {len(count.lost)} of {count.asked} lost: {count.lost[:3]}"
            assert count.asked >= least, f"{target}: asked for {count.asked} times only"


@contextmanager
def load(spawn: Callable[..., "subprocess.Popen[str]"], *targets: str, netns: str = "") -> Iterator[Load]:
    """Ask in that namespace, or where ``spawn`` is, for ``targets``: URLs of nginx's page, each time by a connection of
    its own, or ``dns:<name>``, of the resolver that the namespace's containers have."""
    command = (*(("ip", "netns", "exec", netns) if netns else ()), sys.executable, str(Path(__file__)), *targets)
    process = spawn(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    asking = Load(process)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", f"{targets} are not answered in {netns}"
        yield asking
        asking.end()
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _ask(target: str) -> None:
    """Raises OSError or ValueError."""
    if target.startswith("dns:"):
        return _ask_name(target.removeprefix("dns:"))
    host, _, port = target.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port or 80)), timeout=_PATIENCE) as connection:
        connection.sendall(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    if b" 200 " not in answer[:20] or b"</html>" not in answer:
        raise ValueError(f"answered {answer[:20]!r}, {len(answer)} bytes")


def _ask_name(name: str) -> None:
    """A question for A over UDP, asked again each second, as resolver libraries do since datagrams get lost."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    deadline = time.monotonic() + _PATIENCE
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.connect(("127.0.0.11", 53))
            connection.settimeout(1)
            try:
                connection.send(question)
                _, flags, _, answers = struct.unpack(">4H", connection.recv(512)[:8])
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
    if flags & 15 or not answers:
        raise ValueError(f"code {flags & 15}, {answers} answers")


def _again_and_again(target: str, count: Count, ended: threading.Event) -> None:
    while not ended.wait(_PAUSE):
        count.asked += 1
        try:
            _ask(target)
        except (OSError, ValueError) as error:
            count.lost.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {error}")


def _main(targets: list[str]) -> None:
    for target in targets:
        _ask(target)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ended = threading.Event()
    counts: dict[str, Any] = {target: Count() for target in targets}
    threads = [threading.Thread(target=_again_and_again, args=(*item, ended)) for item in counts.items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps({target: vars(count) for target, count in counts.items()}))


if __name__ == "__main__":
    _main(sys.argv[1:])
