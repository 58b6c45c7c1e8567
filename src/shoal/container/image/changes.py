"""The Dockerfile instructions that ``docker import --change`` and ``docker commit --change`` take."""

import re
import shlex
from collections.abc import Callable, Sequence

import msgspec

from shoal.container.image.config import Healthcheck, RunConfig
from shoal.errors import InvalidArgument

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_SHELL = ["/bin/sh", "-c"]


def apply_changes(config: RunConfig, changes: Sequence[str]) -> RunConfig:
    """``config`` after each instruction in turn. Raises :class:`InvalidArgument` with Docker's text."""
    lines = [line.strip() for change in changes for line in change.replace("\\\n", " ").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    keywords = {line.partition(" ")[0].upper() for line in lines}
    if "ENTRYPOINT" in keywords and "CMD" not in keywords:
        # As in a Dockerfile: the arguments that were meant for another entrypoint go.
        config = msgspec.structs.replace(config, cmd=None)
    for line in lines:
        config = _apply(config, line)
    return config


def _apply(config: RunConfig, line: str) -> RunConfig:
    keyword, _, rest = line.partition(" ")
    instruction = _INSTRUCTIONS.get(keyword.upper())
    if instruction is None:
        raise InvalidArgument(f"{keyword.lower()} is not a valid change command")
    rest = rest.strip()
    if not rest and keyword.upper() not in ("CMD", "ENTRYPOINT"):
        raise InvalidArgument(f"{keyword.upper()} requires at least one argument")
    return instruction(config, rest)


def _json_list(text: str) -> list[str] | None:
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.MsgspecError:
        return None


def _command(text: str, shell: list[str] | None) -> list[str]:
    """The exec form as it is, the shell form through the shell."""
    words = _json_list(text)
    if words is not None:
        return words
    return [*(shell or _SHELL), text] if text else []


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"Syntax error - can't parse {text!r}: {error}") from error


def _pairs(keyword: str, text: str) -> dict[str, str]:
    """``a=b c="d e"``, or the old form ``a everything else``."""
    words = _words(text)
    if "=" not in words[0]:
        name, _, value = text.partition(" ")
        if not value:
            raise InvalidArgument(f"{keyword} must have two arguments")
        return {name: value.strip()}
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidArgument(f"Syntax error - can't find = in {word!r}. Must be of the form: name=value")
        if not name:
            raise InvalidArgument(f"{keyword} names can not be blank")
        found[name] = value
    return found


def _cmd(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, cmd=_command(text, config.shell))


def _entrypoint(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, entrypoint=_command(text, config.shell) or None)


def _env(config: RunConfig, text: str) -> RunConfig:
    env = dict(entry.partition("=")[::2] for entry in config.env or [])
    env |= _pairs("ENV", text)
    return msgspec.structs.replace(config, env=[f"{name}={value}" for name, value in env.items()])


def _label(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, labels=(config.labels or {}) | _pairs("LABEL", text))


def _expose(config: RunConfig, text: str) -> RunConfig:
    ports = dict(config.exposed_ports or {})
    for word in text.split():
        match = _PORT.fullmatch(word)
        if match is None:
            raise InvalidArgument(f"Invalid containerPort: {word}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 < first <= last <= 65535:
            raise InvalidArgument(f"Invalid containerPort: {word}")
        ports |= {f"{port}/{(match[3] or 'tcp').lower()}": {} for port in range(first, last + 1)}
    return msgspec.structs.replace(config, exposed_ports=ports)


def _volume(config: RunConfig, text: str) -> RunConfig:
    paths = _json_list(text) or text.split()
    if not all(path.strip() for path in paths):
        raise InvalidArgument("VOLUME specified can not be an empty string")
    return msgspec.structs.replace(config, volumes=dict(config.volumes or {}) | {path: {} for path in paths})


def _user(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, user=text)


def _workdir(config: RunConfig, text: str) -> RunConfig:
    base = config.working_dir or "/"
    joined = text if text.startswith("/") else f"{base.rstrip('/')}/{text}"
    parts: list[str] = []
    for part in joined.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return msgspec.structs.replace(config, working_dir="/" + "/".join(parts))


def _stop_signal(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, stop_signal=text)


def _on_build(config: RunConfig, text: str) -> RunConfig:
    return msgspec.structs.replace(config, on_build=[*(config.on_build or []), text])


def _healthcheck(config: RunConfig, text: str) -> RunConfig:
    options: dict[str, int] = {}
    names = {"interval": "interval", "timeout": "timeout", "start-period": "start_period", "retries": "retries"}
    names["start-interval"] = "start_interval"
    while text.startswith("--"):
        flag, _, text = text.partition(" ")
        name, _, value = flag[2:].partition("=")
        if name not in names:
            raise InvalidArgument(f"Unknown flag: {name}")
        options[names[name]] = _count(value) if name == "retries" else _nanoseconds(value)
        text = text.lstrip()
    kind, _, command = text.partition(" ")
    if kind.upper() == "NONE":
        return msgspec.structs.replace(config, healthcheck=Healthcheck(test=["NONE"]))
    if kind.upper() != "CMD":
        raise InvalidArgument(f"Unknown type {kind!r} in HEALTHCHECK (try CMD)")
    if not command.strip():
        raise InvalidArgument("Missing command after HEALTHCHECK CMD")
    words = _json_list(command.strip())
    test = ["CMD", *words] if words is not None else ["CMD-SHELL", command.strip()]
    return msgspec.structs.replace(config, healthcheck=Healthcheck(test=test, **options))


def _count(text: str) -> int:
    if not (text.isdecimal() and len(text) < 10):
        raise InvalidArgument(f"--retries must be a number, not {text!r}")
    return int(text)


def _nanoseconds(text: str) -> int:
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(m[0] for m in parts) != text:
        raise InvalidArgument(f'time: invalid duration "{text}"')
    return sum(int(float(m[1]) * _NANOSECONDS[m[2]]) for m in parts)


_INSTRUCTIONS: dict[str, Callable[[RunConfig, str], RunConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
