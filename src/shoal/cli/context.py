"""What a command works with: the engine, the standard streams, the user's configuration, the time."""

import sys
import time
from collections.abc import Callable
from typing import Any

from shoal.client.engine import Engine
from shoal.client.registry import load_config


class Context:
    """One invocation. The engine is connected to at its first use."""

    def __init__(
        self, *, connect: Callable[[], Engine], config_dir: str, load: Callable[[str], Any], path: str
    ) -> None:
        self._connect = connect
        self._engine: Engine | None = None
        self._config: dict[str, Any] | None = None
        self.config_dir = config_dir
        self.load = load
        self.path = path

    @property
    def engine(self) -> Engine:
        """The daemon."""
        if self._engine is None:
            self._engine = self._connect()
        return self._engine

    @property
    def config(self) -> dict[str, Any]:
        """The user's ``config.json``; empty when there is none."""
        if self._config is None:
            self._config = load_config(self.config_dir)
        return self._config

    def second_engine(self) -> Engine:
        """Another client of the same daemon, with connections of its own (for what happens beside a stream)."""
        return Engine(self.engine.endpoint, version=self.engine.version)

    def now(self) -> float:
        """Seconds since 1970. Not ``shoal.aio``'s clock, whose module needs asyncio."""
        return time.time_ns() / 1e9

    def out(self, text: str) -> None:
        """Print a line on stdout."""
        sys.stdout.write(f"{text}\n")

    def err(self, text: str) -> None:
        """Print a line on stderr, after what is already on its way to stdout."""
        sys.stdout.flush()
        sys.stderr.write(f"{text}\n")

    def write(self, data: bytes, *, stderr: bool = False) -> None:
        """Write bytes as they are, now."""
        stream = sys.stderr if stderr else sys.stdout
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()

    def close(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            self._engine.close()
