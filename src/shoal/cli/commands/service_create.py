"""``service create``."""

import sys

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.containerbody import capabilities, health_config
from shoal.cli.containerflags import MOUNT, NETWORK, ULIMIT
from shoal.cli.context import Context
from shoal.cli.converge import wait_for_service
from shoal.cli.kinds import ENVIRONMENT, LIST, MAP, PAIRS, text_flag
from shoal.cli.serviceflags import CONFIG, PORT, PREFERENCE, SECRET, SHARED_FLAGS
from shoal.cli.servicespec import (
    attachments,
    container_settings,
    references,
    registry_auth,
    resolve_image,
    resources,
    restart_policy,
    update_config,
)
from shoal.cli.texts import environment
from shoal.client.engine import Json
from shoal.errors import InvalidArgument

MODES = ("replicated", "global", "replicated-job", "global-job")


def service_mode(args: Arguments) -> Json:
    """The mode that ``--mode``, ``--replicas`` and ``--max-concurrent`` describe. Raises InvalidArgument."""
    mode = args.text("mode")
    if mode not in MODES:
        raise InvalidArgument(f"Unknown mode: {mode}, only replicated and global supported")
    if mode.startswith("global"):
        for flag in ("replicas", "replicas-max-per-node", "max-concurrent"):
            if args.given(flag):
                allowed = "replicated-job" if flag == "max-concurrent" else "replicated or replicated-job"
                text = "replicas" if flag == "replicas" else flag
                raise InvalidArgument(f"{text} can only be used with {allowed} mode")
        return {"Global": {}} if mode == "global" else {"GlobalJob": {}}
    if mode == "replicated":
        if args.given("max-concurrent"):
            raise InvalidArgument("max-concurrent can only be used with replicated-job mode")
        return {"Replicated": {"Replicas": args.number("replicas") if args.given("replicas") else 1}}
    total = args.number("replicas") if args.given("replicas") else 1
    return {"ReplicatedJob": {"MaxConcurrent": args.number("max-concurrent") or total, "TotalCompletions": total}}


def host_entry(text: str) -> str:
    """``host:ip`` as the spec has it, in the order of hosts(5). Raises InvalidArgument."""
    name, separator, address = text.partition(":")
    if not separator or not name or not address:
        raise InvalidArgument(f'bad format for add-host: "{text}"')
    return f"{address} {name}"


def service_spec(ctx: Context, args: Arguments) -> Json:
    """The whole spec. Raises InvalidArgument, and NotFound for networks, secrets and configs that are not there."""
    image, *command = args.words
    dns = {
        key: args.items(flag)
        for flag, key in (("dns", "Nameservers"), ("dns-search", "Search"), ("dns-option", "Options"))
        if args.items(flag)
    }
    dropped = capabilities(args.items("cap-drop"))
    added = [name for name in capabilities(args.items("cap-add")) if name not in dropped]
    container: Json = {
        "Image": image,
        "Args": command,
        "Env": environment(args.items("env-file"), args.items("env")),
        "Labels": dict(args.items("container-label")),
        "Groups": args.items("group"),
        "Mounts": args.items("mount"),
        "Healthcheck": health_config(args),
        "Hosts": [host_entry(text) for text in args.items("host")],
        "Secrets": references(ctx, args.items("secret"), "Secret"),
        "Configs": references(ctx, args.items("config"), "Config"),
        "Sysctls": dict(args.items("sysctl")),
        "CapabilityAdd": added,
        "CapabilityDrop": dropped,
        "Ulimits": args.items("ulimit"),
        **container_settings(args),
    }
    placement: Json = {
        "Constraints": args.items("constraint"),
        "Preferences": args.items("placement-pref"),
        "MaxReplicas": args.number("replicas-max-per-node"),
    }
    task: Json = {
        "ContainerSpec": {
            **{key: value for key, value in container.items() if value not in (None, [], {})},
            "DNSConfig": dns,
        },
        "Resources": resources(args, None),
        "RestartPolicy": restart_policy(args, None),
        "Placement": {key: value for key, value in placement.items() if value},
        "Networks": attachments(ctx, args.items("network")),
        "LogDriver": log_driver(args),
        "ForceUpdate": 0,
    }
    if args.items("generic-resource"):
        task["Resources"]["Reservations"]["GenericResources"] = [
            generic_resource(text) for text in args.items("generic-resource")
        ]
    spec: Json = {
        "Name": args.text("name"),
        "Labels": dict(args.items("label")),
        "TaskTemplate": {key: value for key, value in task.items() if value not in (None, [])},
        "Mode": service_mode(args),
        "UpdateConfig": update_config(args, "update", None),
        "RollbackConfig": update_config(args, "rollback", None),
        "EndpointSpec": {
            "Mode": args.text("endpoint-mode"),
            "Ports": [port for ports in args.items("publish") for port in ports],
        },
    }
    return {key: value for key, value in spec.items() if value is not None}


def log_driver(args: Arguments) -> Json | None:
    """The logging driver; None for the daemon's own."""
    if not args.text("log-driver"):
        return None
    return {"Name": args.text("log-driver"), "Options": dict(args.items("log-opt"))}


def generic_resource(text: str) -> Json:
    """``kind=3`` or ``kind=name``. Raises InvalidArgument."""
    kind, separator, value = text.partition("=")
    if not separator or not value:
        raise InvalidArgument(f"invalid generic-resource {text!r}")
    if value.isdigit():
        return {"DiscreteResourceSpec": {"Kind": kind, "Value": int(value)}}
    return {"NamedResourceSpec": {"Kind": kind, "Value": value}}


def run_create(ctx: Context, args: Arguments) -> int:
    """Create a service and wait until it runs."""
    spec = service_spec(ctx, args)
    image = args.words[0]
    warning = resolve_image(ctx, image, spec["TaskTemplate"], resolve=not args.on("no-resolve-image"))
    created = ctx.engine.post("/services/create", body=spec, headers=registry_auth(ctx, args, image))
    for text in [*(created.get("Warnings") or ()), *([warning] if warning else ())]:
        ctx.err(text)
    ctx.out(created["ID"])
    sys.stdout.flush()
    if not (args.on("detach") or args.on("quiet")):
        wait_for_service(ctx, created["ID"], created["ID"], sys.stdout)
    return 0


COMMANDS = (
    Command(
        "create",
        "Create a new service",
        run_create,
        "IMAGE [COMMAND] [ARG...]",
        1,
        flags=(
            *SHARED_FLAGS,
            Flag("config", CONFIG, "Configs that the service may read"),
            Flag("constraint", LIST, "Placement constraints"),
            Flag("container-label", PAIRS, "Labels of the containers"),
            Flag("dns", LIST, "DNS servers"),
            Flag("dns-option", LIST, "DNS options"),
            Flag("dns-search", LIST, "Domains to search for names"),
            Flag("env", ENVIRONMENT, "Set environment variables", "e"),
            Flag("env-file", LIST, "Read environment variables from a file"),
            Flag("generic-resource", LIST, "Resources of your own kinds"),
            Flag("group", LIST, "Join more groups"),
            Flag("host", LIST, "Add a line to the containers' hosts file (host:ip)"),
            Flag("label", PAIRS, "Labels of the service", "l"),
            text_flag(
                "mode", 'Service mode ("replicated", "global", "replicated-job", "global-job")', default="replicated"
            ),
            Flag("mount", MOUNT, "Mount a file system"),
            text_flag("name", "Service name"),
            Flag("network", NETWORK, "Connect to a network"),
            Flag("placement-pref", PREFERENCE, "Placement preferences"),
            Flag("publish", PORT, "Publish a port on the nodes", "p"),
            Flag("secret", SECRET, "Secrets that the service may read"),
            Flag("sysctl", MAP._replace(label="list"), "Kernel parameters"),
            Flag("ulimit", ULIMIT, "Resource limits", shown="[]"),
        ),
        examples=(
            "service create --name web --publish target=80,published=8080 --replicas 2 nginx",
            "service create --mode global --network lan --name agent agent:1.0",
        ),
        interspersed=False,
        completes=("images",),
    ),
)
