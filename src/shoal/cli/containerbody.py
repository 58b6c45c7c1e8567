"""The flags of ``run`` and ``create`` to the API's ContainerCreate body."""

import json
import re
import shlex
from typing import Any

from shoal.cli.command import Arguments
from shoal.cli.mounts import split_volumes
from shoal.cli.networks import endpoint_settings
from shoal.cli.ports import parse_expose, parse_publish
from shoal.cli.quantities import parse_bytes
from shoal.cli.texts import from_environment_or_bare, labels_of
from shoal.client.engine import Json
from shoal.errors import InvalidArgument


def container_body(args: Arguments, *, detach: bool) -> Json:
    """The body for these arguments. Raises InvalidArgument for values that cannot be."""
    image, *command = args.words
    exposed, bindings = _ports(args)
    binds, volumes = split_volumes(args.items("volume"))
    attached = set(args.items("attach"))
    if not attached and not detach:
        attached = {"stdout", "stderr"} | ({"stdin"} if args.on("interactive") else set())
    entrypoint: list[str] | None = None
    if args.given("entrypoint"):
        # An empty entry point, [""], is how the API says: none.
        entrypoint = [args.text("entrypoint")]
    body: Json = {
        "Hostname": args.text("hostname"),
        "Domainname": args.text("domainname"),
        "User": args.text("user"),
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        "Tty": args.on("tty"),
        "OpenStdin": args.on("interactive"),
        "StdinOnce": args.on("interactive") and "stdin" in attached,
        "Env": from_environment_or_bare(args.items("env-file"), args.items("env")),
        "Cmd": command or None,
        "Image": image,
        "Volumes": volumes,
        "WorkingDir": args.text("workdir"),
        "Entrypoint": entrypoint,
        "Labels": labels_of(args.items("label-file"), args.items("label")),
        "HostConfig": _host_config(args, binds, bindings),
        "NetworkingConfig": {"EndpointsConfig": _endpoints(args)},
    }
    if exposed:
        body["ExposedPorts"] = {port: {} for port in exposed}
    if args.given("stop-signal"):
        body["StopSignal"] = args.text("stop-signal")
    if args.given("stop-timeout"):
        body["StopTimeout"] = args.number("stop-timeout")
    if health := health_config(args):
        body["Healthcheck"] = health
    return body


def capabilities(names: list[str]) -> list[str]:
    """Capabilities by their full names, sorted and once each."""
    upper = {name.upper() for name in names}
    return sorted(name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in upper)


def health_config(args: Arguments) -> Json | None:
    """The health check that the ``--health-*`` flags describe; None without any. Raises InvalidArgument."""
    names = ("health-cmd", "health-interval", "health-timeout", "health-retries", "health-start-period")
    if args.on("no-healthcheck"):
        if args.any_given(*names):
            raise InvalidArgument("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if not args.any_given(*names):
        return None
    for name in ("interval", "timeout", "start-period"):
        if args.number(f"health-{name}") < 0:
            raise InvalidArgument(f"--health-{name} cannot be negative")
    config: Json = {
        "Interval": args.number("health-interval"),
        "Timeout": args.number("health-timeout"),
        "StartPeriod": args.number("health-start-period"),
        "Retries": args.number("health-retries"),
    }
    return ({"Test": ["CMD-SHELL", args.text("health-cmd")]} if args.text("health-cmd") else {}) | config


def restart_policy(text: str) -> Json:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:N]``. Raises InvalidArgument."""
    name, separator, count = text.partition(":")
    if not text:
        return {"Name": "", "MaximumRetryCount": 0}
    if separator and not name:
        raise InvalidArgument("invalid restart policy format: no policy provided before colon")
    if separator and not count.lstrip("-").isdigit():
        raise InvalidArgument("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def resources(args: Arguments) -> Json:
    """The limits that ``run`` and ``update`` share, those that were given."""
    names = {
        "blkio-weight": "BlkioWeight",
        "cpu-period": "CpuPeriod",
        "cpu-quota": "CpuQuota",
        "cpu-rt-period": "CpuRealtimePeriod",
        "cpu-rt-runtime": "CpuRealtimeRuntime",
        "cpu-shares": "CpuShares",
        "cpus": "NanoCpus",
        "cpuset-cpus": "CpusetCpus",
        "cpuset-mems": "CpusetMems",
        "memory": "Memory",
        "memory-reservation": "MemoryReservation",
        "memory-swap": "MemorySwap",
        "pids-limit": "PidsLimit",
    }
    return {key: args[flag] for flag, key in names.items() if args.given(flag)}


def _ports(args: Arguments) -> tuple[list[str], dict[str, list[Json]]]:
    exposed: dict[str, None] = {}
    bindings: dict[str, list[Json]] = {}
    for text in args.items("publish"):
        for port in parse_publish(text):
            key = f"{port.port}/{port.protocol}"
            exposed[key] = None
            bindings.setdefault(key, []).append({"HostIp": port.host_ip, "HostPort": port.host_port})
    for text in args.items("expose"):
        exposed |= dict.fromkeys(parse_expose(text))
    return list(exposed), bindings


def _host_config(args: Arguments, binds: list[str], bindings: dict[str, list[Json]]) -> Json:
    networks = args.items("network") + args.items("net")
    restart = args.text("restart")
    if args.on("rm") and restart not in ("", "no"):
        raise InvalidArgument("conflicting options: cannot specify both --restart and --rm")
    config: Json = {
        "Binds": binds or None,
        "NetworkMode": networks[0]["Target"] if networks else "default",
        "PortBindings": bindings,
        "RestartPolicy": restart_policy(restart),
        "AutoRemove": args.on("rm"),
        "VolumeDriver": args.text("volume-driver"),
        "VolumesFrom": args.items("volumes-from") or None,
        "CapAdd": capabilities(args.items("cap-add")) or None,
        "CapDrop": capabilities(args.items("cap-drop")) or None,
        "CgroupnsMode": args.text("cgroupns"),
        "Dns": args.items("dns"),
        "DnsOptions": args.items("dns-option"),
        "DnsSearch": args.items("dns-search"),
        "ExtraHosts": [_extra_host(text) for text in args.items("add-host")] or None,
        "GroupAdd": args.items("group-add") or None,
        "IpcMode": args.text("ipc"),
        "Links": args.items("link") or None,
        "OomScoreAdj": args.number("oom-score-adj"),
        "PidMode": args.text("pid"),
        "Privileged": args.on("privileged"),
        "PublishAllPorts": args.on("publish-all"),
        "ReadonlyRootfs": args.on("read-only"),
        "SecurityOpt": [_security_option(text) for text in args.items("security-opt")] or None,
        "UTSMode": args.text("uts"),
        "UsernsMode": args.text("userns"),
        "Isolation": args.text("isolation"),
        "CgroupParent": args.text("cgroup-parent"),
        "MemorySwappiness": args["memory-swappiness"],
        "LogConfig": {"Type": args.text("log-driver"), "Config": dict(args.items("log-opt"))},
        **resources(args),
    }
    optional: dict[str, Any] = {
        "Mounts": args.items("mount"),
        "Devices": args.items("device"),
        "DeviceCgroupRules": args.items("device-cgroup-rule"),
        "Ulimits": args.items("ulimit"),
        "Sysctls": dict(args.items("sysctl")),
        "StorageOpt": dict(args.items("storage-opt")),
        "Tmpfs": {path: options for path, _, options in (text.partition(":") for text in args.items("tmpfs"))},
        "Runtime": args.text("runtime"),
        "ShmSize": args.number("shm-size"),
        "KernelMemory": args.number("kernel-memory"),
        "OomKillDisable": args.on("oom-kill-disable"),
        "DeviceRequests": _gpus(args.text("gpus")),
        "BlkioWeightDevice": [_throttle(text, "Weight", int) for text in args.items("blkio-weight-device")],
        "BlkioDeviceReadBps": [_throttle(text, "Rate", parse_bytes) for text in args.items("device-read-bps")],
        "BlkioDeviceWriteBps": [_throttle(text, "Rate", parse_bytes) for text in args.items("device-write-bps")],
        "BlkioDeviceReadIOps": [_throttle(text, "Rate", int) for text in args.items("device-read-iops")],
        "BlkioDeviceWriteIOps": [_throttle(text, "Rate", int) for text in args.items("device-write-iops")],
    }
    config |= {key: value for key, value in optional.items() if value}
    if args.given("init"):
        config["Init"] = args.on("init")
    return config


def _endpoints(args: Arguments) -> dict[str, Json]:
    networks = args.items("network") + args.items("net")
    first: Json = dict(networks[0]) if networks else {"Target": "default"}
    for flag, key in (("ip", "IPv4Address"), ("ip6", "IPv6Address"), ("mac-address", "MacAddress")):
        if args.text(flag):
            first[key] = args.text(flag)
    if aliases := args.items("network-alias") + args.items("net-alias"):
        first["Aliases"] = [*first.get("Aliases", ()), *aliases]
    if args.items("link-local-ip"):
        first["LinkLocalIPs"] = args.items("link-local-ip")
    user_defined = first["Target"] not in ("default", "bridge", "host", "none") and ":" not in first["Target"]
    if args.items("link") and user_defined:
        first["Links"] = args.items("link")
    endpoints = {network["Target"]: endpoint_settings(network) for network in [first, *networks[1:]]}
    return endpoints if len(networks) > 1 or endpoints[first["Target"]] else {}


def _extra_host(text: str) -> str:
    match = re.fullmatch(r"([^:=]+)[:=](.+)", text)
    if match is None:
        raise InvalidArgument(f'bad format for add-host: "{text}"')
    return f"{match[1]}:{match[2].strip('[]')}"


def _security_option(text: str) -> str:
    key, separator, value = text.partition("=")
    if not separator and ":" in text:
        key, _, value = text.partition(":")
    if key == "seccomp" and value not in ("unconfined", "builtin"):
        try:
            with open(value, encoding="utf-8") as file:
                return f"seccomp={json.dumps(json.load(file), separators=(',', ':'))}"
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"opening seccomp profile ({value}) failed: {error}") from error
    return text


def _throttle(text: str, key: str, parse: Any) -> Json:
    path, _, value = text.rpartition(":")
    if not path.startswith("/dev/"):
        raise InvalidArgument(f"bad format for device path: {text}")
    try:
        return {"Path": path, key: parse(value)}
    except ValueError as error:
        raise InvalidArgument(f"invalid value for device: {text}") from error


def _gpus(text: str) -> list[Json]:
    if not text:
        return []
    request: Json = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]], "Options": {}}
    for field in shlex.split(text.replace(",", " ")):
        key, separator, value = field.partition("=")
        if not separator:
            key, value = "count", field
        match key:
            case "count":
                request["Count"] = -1 if value == "all" else int(value)
            case "device":
                request["DeviceIDs"] = value.split(";")
            case "driver":
                request["Driver"] = value
            case "capabilities":
                request["Capabilities"] = [["gpu", value]]
            case _:
                raise InvalidArgument(f"unexpected key '{key}' in '{field}'")
    return [request]
