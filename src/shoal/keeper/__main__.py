"""``python -m shoal.keeper --socket PATH --state FOLDER``: run the keeper until it is told to stop, or SIGTERM.

One a socket: the file beside it is locked for the process's life and holds its pid. Ends with 0 when told to, 3 when
another keeper has the lock.
"""

import argparse
import asyncio
import fcntl
import logging
import os
import resource
import signal
import sys
from pathlib import Path

import uvloop

from shoal.aio.clock import SystemClock
from shoal.keeper.server import Connection
from shoal.keeper.service import KeeperService

ALREADY_RUNNING = 3
_log = logging.getLogger(__name__)


def main() -> int:
    """Parse the command line, take the lock, run."""
    parser = argparse.ArgumentParser(prog="shoal-keeper", description="Keeps containers' output and names going.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()
    path, state = options.socket.absolute(), options.state.absolute()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    lock = _lock(path.with_suffix(".pid"))
    if lock is None:
        _log.info("a keeper for %s runs already", path)
        return ALREADY_RUNNING
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # about seven descriptors a container
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")
    path.unlink(missing_ok=True)  # a dead keeper's: the lock is ours
    uvloop.run(_run(path, state))
    path.unlink(missing_ok=True)
    return 0


def _lock(path: Path) -> int | None:
    """The locked pid file's descriptor; None when somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


async def _run(path: Path, state: Path) -> None:
    loop = asyncio.get_running_loop()
    service = KeeperService(state=state, clock=SystemClock())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stopping.set)
    await service.restore()
    connections: set[Connection] = set()
    before = os.umask(0o177)
    server = await loop.create_unix_server(lambda: Connection(service, connections), str(path))
    os.umask(before)
    _log.info("keeping")
    await service.stopping.wait()
    await asyncio.sleep(0)  # the reply to the command that said so
    server.close()
    await service.close()
    for connection in tuple(connections):
        connection.drop()


if __name__ == "__main__":
    sys.exit(main())
