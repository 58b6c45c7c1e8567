"""The process ``shoald``: start in order, say when it is ready, run until a signal, end in order."""

import asyncio
import ctypes
import fcntl
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

# Importing makes no garbage; to look for it meanwhile is a fifth of the start. _serve() turns this on again.
gc.disable()
# Read while gRPC is imported: it would hold up every fork for the sake of its own threads; ours only lead to an exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import uvloop  # noqa: E402

from shoal.aio.clock import SystemClock  # noqa: E402
from shoal.aio.threads import started_pool  # noqa: E402
from shoal.daemon.config import Config, parse  # noqa: E402
from shoal.daemon.node import NodeDaemon  # noqa: E402
from shoal.daemon.recover import recover  # noqa: E402
from shoal.durable.faults import explain  # noqa: E402
from shoal.errors import Conflict, Damaged, Forbidden, ShoalError  # noqa: E402

_log = logging.getLogger("shoald")
_WAYS_OUT = (
    "put a backup of it back, or start shoald once with --recover, which keeps what can be read, moves the file aside "
    "and says what is dropped; containers and networks go on meanwhile"
)
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # malloc.h
# As many as asyncio would start one by one, when they are asked for.
_THREADS = min(32, (os.cpu_count() or 1) + 4)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit status is 0 after SIGTERM or SIGINT, 1 when it cannot start."""
    config = Config()
    try:
        config = parse(sys.argv[1:] if argv is None else argv)
        if config.validate:
            sys.stderr.write("configuration OK\n")
            return 0
        _check_machine()
        return _run(config)
    except Damaged as error:
        sys.stderr.write(f"failed to start daemon: {error}: {_WAYS_OUT}\n")
        return 1
    except ShoalError as error:
        sys.stderr.write(f"failed to start daemon: {error}\n")
        return 1
    except OSError as error:
        place = Path(os.fsdecode(error.filename)).parent if error.filename else config.data_root
        sys.stderr.write(f"failed to start daemon: {error.filename or place}: {explain(error, place)}\n")
        return 1


def _run(config: Config) -> int:
    level = logging.DEBUG if config.debug else _LEVELS.get(config.log_level, logging.INFO)
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    lock = _lock(config.data_root)
    _claim(config.pidfile)
    if config.recover:
        for line in recover(config.data_root, SystemClock().now()):
            sys.stderr.write(f"recover: {line}\n")
    _tune_malloc()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # about five descriptors a sandbox
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config))
    finally:
        config.pidfile.unlink(missing_ok=True)
        os.close(lock)
    return 0


def _tune_malloc() -> None:
    """Have glibc give memory back; to be called before there are threads (mallopt(3)). Another libc is left as it is.

    Of its own accord it makes up to eight heaps a CPU, of which threads that take turns at running Python gain nothing,
    and keeps buffers of a size that it has seen once, such as an image's layer, on the heap, where they leave holes.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, 128 << 10)


async def _serve(config: Config) -> None:
    for notice in config.notices:
        _log.warning("%s", notice)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(started_pool(_THREADS))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    node = NodeDaemon(config=config, clock=SystemClock())
    loop.add_signal_handler(signal.SIGHUP, node.reload)
    await node.start()
    # What is there now stays: the collector need not look at it again, and rarely at the rest, which it does in pauses
    # that everybody feels.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()
    try:
        notify("READY=1")
        _log.info("ready: %s", ", ".join(node.addresses))
        await stop.wait()
        notify("STOPPING=1")
    finally:
        await node.stop()


def notify(state: str) -> None:
    """Tell systemd, if it listens (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect(address)
        sock.sendall(state.encode())


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise Forbidden("shoald needs to be started with root privileges; start it with sudo")


def _lock(data_root: Path) -> int:
    """Hold the data root against a second daemon; the kernel lets go of it however this process ends."""
    data_root.mkdir(mode=0o711, parents=True, exist_ok=True)
    lock = os.open(data_root / "shoald.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise Conflict(f"another shoald is using {data_root}: stop it, or choose another --data-root") from error
    return lock


def _claim(pidfile: Path) -> None:
    """Write the pid file. Raises Conflict when another daemon that lives has it; one left by a dead process does not
    matter."""
    pidfile.parent.mkdir(parents=True, exist_ok=True)
    try:
        other = int(pidfile.read_text())
        command = Path(f"/proc/{other}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        pass
    else:
        if other != os.getpid() and b"shoald" in command:
            raise Conflict(f"pid file found, ensure shoald is not running or delete {pidfile}")
    pidfile.write_text(str(os.getpid()))


if __name__ == "__main__":
    sys.exit(main())
