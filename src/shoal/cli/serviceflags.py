"""The flags that ``service create`` and ``service update`` share, and the types of the others."""

from shoal.cli.command import Flag, Kind
from shoal.cli.kinds import BYTES, DECIMAL, DURATION, FLOAT, INT, LIST, PAIRS, UINT, switch, text_flag
from shoal.cli.ports import parse_service_port
from shoal.cli.quantities import SECOND
from shoal.cli.texts import split_csv
from shoal.cli.words import split_words
from shoal.client.engine import Json
from shoal.errors import InvalidArgument


def parse_preference(text: str) -> Json:
    """``spread=node.labels.zone``. Raises InvalidArgument."""
    strategy, separator, descriptor = text.partition("=")
    if not separator:
        raise InvalidArgument('placement preference must be of the format "<strategy>=<arg>"')
    if strategy != "spread":
        raise InvalidArgument(f"unsupported placement preference {strategy} (only spread is supported)")
    return {"Spread": {"SpreadDescriptor": descriptor}}


def parse_reference(text: str) -> Json:
    """A secret or config: ``NAME`` or ``source=NAME,target=FILE,uid=,gid=,mode=``. Raises InvalidArgument."""
    fields = split_csv(text)
    found: Json = {"source": "", "target": "", "uid": "0", "gid": "0", "mode": 0o444}
    if len(fields) == 1 and "=" not in fields[0]:
        return {**found, "source": text, "target": text}
    for field in fields:
        key, separator, value = field.partition("=")
        key = {"src": "source"}.get(key.lower(), key.lower())
        if not separator or key not in found:
            raise InvalidArgument(
                f"invalid field '{field}' must be a key=value pair" if not separator else f"invalid field key: {key}"
            )
        try:
            found[key] = int(value, 8) if key == "mode" else value
        except ValueError as error:
            raise InvalidArgument(
                f'invalid mode specified: strconv.ParseUint: parsing "{value}": invalid syntax'
            ) from error
    if not found["source"]:
        raise InvalidArgument("source is required")
    return {**found, "target": found["target"] or found["source"]}


PORT = Kind("port", parse_service_port, many=True)
PREFERENCE = Kind("pref", parse_preference, many=True)
WORDS = Kind("command", split_words)
SECRET = Kind("secret", parse_reference, many=True)
CONFIG = Kind("config", parse_reference, many=True)
CREDENTIAL_SPEC = Kind("credential-spec", str)
TIME_UNITS = "(ns|us|ms|s|m|h)"


def update_flags(prefix: str, what: str, actions: str) -> tuple[Flag, ...]:
    """The flags of an update, or of a rollback."""
    return (
        Flag(f"{prefix}-delay", DURATION, f"Time between two {what}s {TIME_UNITS}", default=0, shown="0s"),
        text_flag(f"{prefix}-failure-action", f"What to do when a {what} fails ({actions})", default="pause"),
        Flag(f"{prefix}-max-failure-ratio", FLOAT, f"Share of failures to bear in a {what}", default=0.0, shown="0"),
        Flag(
            f"{prefix}-monitor",
            DURATION,
            f"How long to watch a task for failure {TIME_UNITS}",
            default=5 * SECOND,
            shown="5s",
        ),
        text_flag(
            f"{prefix}-order", 'Order of a task\'s replacement ("start-first", "stop-first")', default="stop-first"
        ),
        Flag(f"{prefix}-parallelism", UINT, "Tasks to replace at a time (0 for all)", default=1, shown="1"),
    )


DETACH = switch("detach", "Exit at once instead of waiting for the service to converge", "d")
QUIET = switch("quiet", "Suppress progress output", "q")
SHARED_FLAGS = (
    Flag("cap-add", LIST, "Add Linux capabilities"),
    Flag("cap-drop", LIST, "Drop Linux capabilities"),
    Flag("credential-spec", CREDENTIAL_SPEC, "Credentials of a managed service account (Windows only)"),
    DETACH,
    text_flag("endpoint-mode", "How the service's name resolves (vip or dnsrr)", default="vip"),
    Flag("entrypoint", WORDS, "Replace the image's entry point"),
    text_flag("health-cmd", "Command that checks a task's health"),
    Flag("health-interval", DURATION, "Time between two checks (ms|s|m|h)"),
    Flag("health-retries", INT, "Failures in a row that make a task unhealthy"),
    Flag("health-start-period", DURATION, "Time to start in before failures count (ms|s|m|h)"),
    Flag("health-timeout", DURATION, "Longest time one check may take (ms|s|m|h)"),
    text_flag("hostname", "Host name of the containers"),
    switch("init", "Run an init that forwards signals and reaps processes"),
    text_flag("isolation", "Isolation technology"),
    Flag("limit-cpu", DECIMAL, "Limit of CPUs"),
    Flag("limit-memory", BYTES, "Limit of memory"),
    Flag("limit-pids", INT, "Limit of processes (0 for none)"),
    text_flag("log-driver", "Logging driver"),
    Flag("log-opt", PAIRS, "Options of the logging driver"),
    Flag("max-concurrent", UINT, "Tasks of a job to run at a time (default equal to --replicas)"),
    switch("no-healthcheck", "Disable the image's health check"),
    switch("no-resolve-image", "Do not ask the registry for the image's digest and platforms"),
    QUIET,
    switch("read-only", "Mount the root file system read-only"),
    Flag("replicas", UINT, "Number of tasks"),
    Flag("replicas-max-per-node", UINT, "Most tasks on one node (0 for no limit)"),
    Flag("reserve-cpu", DECIMAL, "CPUs to reserve"),
    Flag("reserve-memory", BYTES, "Memory to reserve"),
    text_flag("restart-condition", 'When to restart ("none", "on-failure", "any")', default="any"),
    Flag("restart-delay", DURATION, f"Time before a restart {TIME_UNITS}", default=5 * SECOND, shown="5s"),
    Flag("restart-max-attempts", UINT, "Most restarts before giving up"),
    Flag("restart-window", DURATION, f"Time over which restarts are counted {TIME_UNITS}"),
    *update_flags("rollback", "rollback", '"pause", "continue"'),
    Flag(
        "stop-grace-period",
        DURATION,
        f"Time before a container is killed {TIME_UNITS}",
        default=10 * SECOND,
        shown="10s",
    ),
    text_flag("stop-signal", "Signal that stops the container"),
    switch("tty", "Allocate a pseudo-TTY", "t"),
    *update_flags("update", "update", '"pause", "continue", "rollback"'),
    text_flag("user", "User name or id (<name|uid>[:<group|gid>])", "u"),
    switch("with-registry-auth", "Send registry credentials to the nodes"),
    text_flag("workdir", "Working directory in the container", "w"),
)
