"""What a health check says, and what its results make of a container. Pure.

The rules are Docker's (Dockerfile reference, HEALTHCHECK): healthy at the first success; unhealthy after that many
failures on end, of which those within the start period do not count before the first success.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from shoal.objects.container import ContainerConfig, Health, HealthLog

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"

_SECOND = 1_000_000_000
_KEPT, _OUTPUT_LIMIT = 5, 4096
_SHELL = ("/bin/sh", "-c")


class Check(msgspec.Struct, frozen=True):
    """A container's health check; times in seconds."""

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    start_interval: float = 5.0
    retries: int = 3

    def pause(self, health: Health, running_for: float) -> float:
        """Seconds until the next probe."""
        starting = health.status == STARTING and running_for < self.start_period
        return self.start_interval if starting else self.interval


def check_of(config: ContainerConfig) -> Check | None:
    """The check that is configured; None for none."""
    asked = config.healthcheck
    if asked is None or not asked.test:
        return None
    kind, *words = asked.test
    if kind == "CMD-SHELL" and words:
        command: Sequence[str] = (*(config.shell or _SHELL), words[0])
    elif kind == "CMD" and words:
        command = words
    else:
        return None
    default = Check(command=())
    return Check(
        command=tuple(command),
        interval=_seconds(asked.interval, default.interval),
        timeout=_seconds(asked.timeout, default.timeout),
        start_period=_seconds(asked.start_period, default.start_period),
        start_interval=_seconds(asked.start_interval, default.start_interval),
        retries=asked.retries or default.retries,
    )


def after(health: Health, result: HealthLog, check: Check, running_for: float) -> Health:
    """The health after one more probe, begun when the container had run for that many seconds."""
    log = [*health.log[1 - _KEPT :], replace(result, output=_cut(result.output))]
    if result.exit_code == 0:
        return Health(status=HEALTHY, failing_streak=0, log=log)
    if health.status == STARTING and running_for < check.start_period:
        return replace(health, log=log)
    streak = health.failing_streak + 1
    return Health(status=UNHEALTHY if streak >= check.retries else health.status, failing_streak=streak, log=log)


def _seconds(nanoseconds: int | None, default: float) -> float:
    return nanoseconds / _SECOND if nanoseconds else default


def _cut(output: str) -> str:
    return output if len(output) <= _OUTPUT_LIMIT else output[:_OUTPUT_LIMIT] + "..."
