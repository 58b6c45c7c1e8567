"""``--mount``, ``-v``, ``--tmpfs``, ``--device`` and ``--ulimit``: text to the API's objects."""

import os

from shoal.cli.kinds import parse_bool
from shoal.cli.quantities import parse_bytes
from shoal.cli.texts import split_csv
from shoal.client.engine import Json
from shoal.errors import InvalidArgument

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
TYPES = ("bind", "volume", "tmpfs", "npipe", "cluster", "image")


def parse_mount(text: str) -> Json:
    """``type=volume,source=NAME,target=PATH,…``. Raises InvalidArgument in Docker's words."""
    mount: Json = {"Type": "volume"}
    options: dict[str, Json] = {"VolumeOptions": {}, "BindOptions": {}, "TmpfsOptions": {}, "ImageOptions": {}}
    for field in split_csv(text):
        key, separator, value = field.partition("=")
        key = key.lower()
        if not separator:
            if key in ("readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"):
                value = "true"
            else:
                raise InvalidArgument(f"invalid field '{field}' must be a key=value pair")
        _set_field(mount, options, key, value)
    if not mount["Type"]:
        raise InvalidArgument("type is required")
    if not mount.get("Target"):
        raise InvalidArgument("target is required")
    for name, owner in (
        ("VolumeOptions", "volume"),
        ("BindOptions", "bind"),
        ("TmpfsOptions", "tmpfs"),
        ("ImageOptions", "image"),
    ):
        if options[name] and mount["Type"] != owner:
            raise InvalidArgument(f"cannot mix '{owner}-*' options with mount type '{mount['Type']}'")
        if options[name]:
            mount[name] = options[name]
    return mount


def _set_field(mount: Json, options: dict[str, Json], key: str, value: str) -> None:
    volume, bind, tmpfs = options["VolumeOptions"], options["BindOptions"], options["TmpfsOptions"]
    match key:
        case "type":
            mount["Type"] = value.lower()
        case "source" | "src":
            mount["Source"] = os.path.abspath(value) if value == "." or value.startswith(("./", "../")) else value
        case "target" | "dst" | "destination":
            mount["Target"] = value
        case "readonly" | "ro":
            mount["ReadOnly"] = _bool(key, value)
        case "consistency":
            mount["Consistency"] = value.lower()
        case "bind-propagation":
            if value.lower() not in PROPAGATIONS:
                raise InvalidArgument(f"invalid propagation: {value}")
            bind["Propagation"] = value.lower()
        case "bind-nonrecursive":
            bind["NonRecursive"] = _bool(key, value)
        case "bind-recursive":
            _recursive(bind, value)
        case "volume-subpath":
            volume["Subpath"] = value
        case "image-subpath":
            options["ImageOptions"]["Subpath"] = value
        case "volume-nocopy":
            volume["NoCopy"] = _bool(key, value)
        case "volume-label":
            name, _, content = value.partition("=")
            volume.setdefault("Labels", {})[name] = content
        case "volume-driver":
            volume.setdefault("DriverConfig", {})["Name"] = value
        case "volume-opt":
            name, _, content = value.partition("=")
            volume.setdefault("DriverConfig", {}).setdefault("Options", {})[name] = content
        case "tmpfs-size":
            try:
                tmpfs["SizeBytes"] = parse_bytes(value)
            except InvalidArgument as error:
                raise InvalidArgument(f"invalid value for {key}: {value}") from error
        case "tmpfs-mode":
            try:
                tmpfs["Mode"] = int(value, 8)
            except ValueError as error:
                raise InvalidArgument(f"invalid value for {key}: {value}") from error
        case _:
            raise InvalidArgument(f"unexpected key '{key}' in '{key}={value}'")


def _recursive(bind: Json, value: str) -> None:
    match value:
        case "enabled":
            pass
        case "disabled":
            bind["NonRecursive"] = True
        case "writable":
            bind["ReadOnlyNonRecursive"] = True
        case "readonly":
            bind["ReadOnlyForceRecursive"] = True
        case _:
            raise InvalidArgument(
                f'invalid value for bind-recursive: {value} (must be "enabled", "disabled", "writable", or "readonly")'
            )


def _bool(key: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid value for {key}: {value}") from error


def split_volumes(texts: list[str]) -> tuple[list[str], dict[str, Json]]:
    """``-v``: binds (those with a source), and anonymous volumes by their path."""
    binds: list[str] = []
    volumes: dict[str, Json] = {}
    for text in texts:
        source, separator, rest = text.partition(":")
        if not separator:
            volumes[text] = {}
            continue
        if source in (".", "..") or source.startswith(("./", "../", "~/")):
            source = os.path.abspath(os.path.expanduser(source))
        binds.append(f"{source}:{rest}")
    return binds, volumes


def parse_device(text: str) -> Json:
    """``HOST[:CONTAINER][:rwm]``. Raises InvalidArgument."""
    host, *rest = text.split(":")
    if len(rest) > 2 or not host:
        raise InvalidArgument(f"invalid device specification: {text}")
    inside, permissions = host, "rwm"
    for part in rest:
        if part and set(part) <= set("rwm"):
            permissions = part
        else:
            inside = part
    if len(rest) == 2 and permissions != rest[1]:
        raise InvalidArgument(f"invalid device specification: {text}")
    return {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": permissions}


def parse_ulimit(text: str) -> Json:
    """``NAME=SOFT[:HARD]``; -1 is unlimited. Raises InvalidArgument in Docker's words."""
    name, separator, values = text.partition("=")
    if not separator:
        raise InvalidArgument(f"invalid ulimit argument: {text}")
    parts = values.split(":")
    if len(parts) > 2:
        raise InvalidArgument(f"too many limit value arguments - {values}, can only have up to two, `soft[:hard]`")
    if name not in ULIMITS:
        raise InvalidArgument(f"invalid ulimit type: {name}")
    try:
        soft, hard = int(parts[0]), int(parts[-1])
    except ValueError as error:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{values}": invalid syntax') from error
    if hard != -1 and (soft > hard or soft == -1):
        raise InvalidArgument(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}")
    return {"Name": name, "Soft": soft, "Hard": hard}


ULIMITS = frozenset(
    "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)
