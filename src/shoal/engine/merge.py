"""What the user asked for and what the image says, put together (``docker run`` over the image's config). Pure."""

from msgspec.structs import replace

from shoal.container.image.config import RunConfig
from shoal.errors import InvalidArgument
from shoal.objects.container import ContainerConfig
from shoal.objects.service import HealthConfig


def merged(config: ContainerConfig, image: RunConfig) -> ContainerConfig:
    """The container's config with the image's defaults filled in."""
    entrypoint, cmd = config.entrypoint, config.cmd
    if entrypoint is None:
        entrypoint = image.entrypoint
        if not cmd:
            cmd = image.cmd
    elif entrypoint == [""]:
        entrypoint = []
    labels = {**(image.labels or {}), **(config.labels or {})}
    return replace(
        config,
        entrypoint=entrypoint,
        cmd=cmd,
        env=_environment(config.env or [], image.env or []),
        user=config.user or image.user,
        working_dir=config.working_dir or image.working_dir,
        exposed_ports={**(image.exposed_ports or {}), **(config.exposed_ports or {})} or None,
        volumes={**(image.volumes or {}), **(config.volumes or {})} or None,
        labels=labels,
        stop_signal=config.stop_signal or image.stop_signal or None,
        stop_timeout=config.stop_timeout if config.stop_timeout is not None else image.stop_timeout,
        healthcheck=_health(config.healthcheck, image),
        shell=config.shell or image.shell,
        on_build=image.on_build,
    )


def command(config: ContainerConfig) -> tuple[str, list[str]]:
    """The program and its arguments. Raises InvalidArgument when there is none, in Docker's words."""
    whole = [*(config.entrypoint or []), *(config.cmd or [])]
    if not whole or not whole[0]:
        raise InvalidArgument("no command specified")
    return whole[0], whole[1:]


def _environment(asked: list[str], image: list[str]) -> list[str]:
    """The image's variables, each replaced by the user's of the same name, then the user's others."""
    names = {entry.partition("=")[0] for entry in asked}
    kept = [entry for entry in image if entry.partition("=")[0] not in names]
    # A bare NAME means: not even the image's.
    return kept + [entry for entry in asked if "=" in entry]


def _health(asked: HealthConfig | None, image: RunConfig) -> HealthConfig | None:
    default = image.healthcheck
    if default is None:
        return asked
    asked = asked or HealthConfig()
    return HealthConfig(
        test=asked.test or default.test,
        interval=asked.interval or default.interval,
        timeout=asked.timeout or default.timeout,
        retries=asked.retries or default.retries,
        start_period=asked.start_period or default.start_period,
        start_interval=asked.start_interval or default.start_interval,
    )
