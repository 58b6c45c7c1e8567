"""``service update``, ``scale`` and ``rollback``."""

import sys
from collections.abc import Callable
from typing import Any

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.commands.service_create import generic_resource, host_entry, log_driver
from shoal.cli.containerbody import capabilities, health_config
from shoal.cli.containerflags import MOUNT, NETWORK, ULIMIT
from shoal.cli.context import Context
from shoal.cli.converge import wait_for_service
from shoal.cli.kinds import ENVIRONMENT, LIST, PAIRS, parse_uint, switch, text_flag
from shoal.cli.ports import parse_service_port
from shoal.cli.serviceflags import CONFIG, DETACH, PORT, PREFERENCE, QUIET, SECRET, SHARED_FLAGS, WORDS
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
from shoal.client.engine import Json, quote
from shoal.errors import InvalidArgument, ShoalError


def edit_list(
    before: list[Any] | None, add: list[Any], remove: list[str], key: Callable[[Any], str] = str
) -> list[Any]:
    """A list without what is removed, and with what is added in place of what has the same key."""
    merged = {key(item): item for item in before or ()}
    for item in remove:
        merged.pop(item, None)
    return list((merged | {key(item): item for item in add}).values())


def edit_map(before: dict[str, str] | None, add: list[tuple[str, str]], remove: list[str]) -> dict[str, str]:
    """Labels without what is removed, and with what is added."""
    return {key: value for key, value in (before or {}).items() if key not in remove} | dict(add)


def _file_source(item: Json) -> str:
    return str(item.get("SecretName") or item.get("ConfigName"))


def _env_name(text: str) -> str:
    return text.partition("=")[0]


def edit_container(ctx: Context, container: Json, args: Arguments) -> None:
    """Put what was given into a ContainerSpec."""

    def change(key: str, flag: str, name: Callable[[Any], str] = str) -> None:
        if args.any_given(f"{flag}-add", f"{flag}-rm"):
            container[key] = edit_list(container.get(key), args.items(f"{flag}-add"), args.items(f"{flag}-rm"), name)

    container |= container_settings(args)
    if args.given("args"):
        container["Args"] = args["args"]
    if args.any_given("env-add", "env-rm"):
        added = environment((), args.items("env-add"))
        container["Env"] = edit_list(container.get("Env"), added, args.items("env-rm"), _env_name)
    change("Groups", "group")
    change("Mounts", "mount", lambda mount: str(mount["Target"]))
    if "Mounts" in container:
        container["Mounts"].sort(key=lambda mount: (mount.get("Source", ""), mount["Target"]))
    change("Ulimits", "ulimit", lambda limit: str(limit["Name"]))
    if args.any_given("container-label-add", "container-label-rm"):
        container["Labels"] = edit_map(
            container.get("Labels"), args.items("container-label-add"), args.items("container-label-rm")
        )
    if args.any_given("sysctl-add", "sysctl-rm"):
        container["Sysctls"] = edit_map(container.get("Sysctls"), args.items("sysctl-add"), args.items("sysctl-rm"))
    if args.any_given("host-add", "host-rm"):
        removed = [host_entry(text) for text in args.items("host-rm") if ":" in text]
        names = [text for text in args.items("host-rm") if ":" not in text]
        kept = [entry for entry in container.get("Hosts") or () if entry.split()[-1] not in names]
        container["Hosts"] = edit_list(kept, [host_entry(text) for text in args.items("host-add")], removed)
    for flag, key in (("dns", "Nameservers"), ("dns-search", "Search"), ("dns-option", "Options")):
        if args.any_given(f"{flag}-add", f"{flag}-rm"):
            dns = container.setdefault("DNSConfig", {})
            dns[key] = sorted(edit_list(dns.get(key), args.items(f"{flag}-add"), args.items(f"{flag}-rm")))
    for kind in ("Secret", "Config"):
        flag = kind.lower()
        if args.any_given(f"{flag}-add", f"{flag}-rm"):
            files = references(ctx, args.items(f"{flag}-add"), kind)
            container[f"{kind}s"] = edit_list(container.get(f"{kind}s"), files, args.items(f"{flag}-rm"), _file_source)
    if args.any_given("cap-add", "cap-drop"):
        more, dropped = capabilities(args.items("cap-add")), capabilities(args.items("cap-drop"))
        have_added, have_dropped = container.get("CapabilityAdd") or [], container.get("CapabilityDrop") or []
        container["CapabilityAdd"] = sorted(
            {*(name for name in have_added if name not in dropped), *more} - set(have_dropped)
        )
        container["CapabilityDrop"] = sorted(
            {*(name for name in have_dropped if name not in more), *dropped} - set(have_added)
        )
    if (health := health_config(args)) is not None:
        before = {} if args.on("no-healthcheck") else container.get("Healthcheck") or {}
        keys = {
            "health-interval": "Interval",
            "health-timeout": "Timeout",
            "health-retries": "Retries",
            "health-start-period": "StartPeriod",
        }
        given = {key: health[key] for flag, key in keys.items() if args.given(flag)}
        container["Healthcheck"] = {**before, **given, **({"Test": health["Test"]} if "Test" in health else {})}


def edit_ports(before: list[Json], args: Arguments) -> list[Json]:
    """Published ports without those that are removed (by target port), and with those that are added."""
    remove = []
    for text in args.items("publish-rm"):
        try:
            remove += parse_service_port(text)
        except InvalidArgument as error:
            raise InvalidArgument(f"failed to parse port {text}: {error}") from error
    kept = [
        port
        for port in before
        if not any(
            port["TargetPort"] == gone["TargetPort"]
            and port.get("Protocol", "tcp") == gone["Protocol"]
            and ("PublishedPort" not in gone or gone["PublishedPort"] == port.get("PublishedPort"))
            for gone in remove
        )
    ]
    added = [port for ports in args.items("publish-add") for port in ports]
    replaced = {(port["TargetPort"], port["Protocol"], port.get("PublishedPort")) for port in added}
    kept = [p for p in kept if (p["TargetPort"], p.get("Protocol", "tcp"), p.get("PublishedPort")) not in replaced]
    return sorted(
        [*kept, *added], key=lambda port: (port.get("PublishedPort", 0), port["TargetPort"], port["Protocol"])
    )


def edit_spec(ctx: Context, spec: Json, args: Arguments) -> None:
    """Put what was given on the command line into a service's spec. Raises InvalidArgument."""
    task = spec["TaskTemplate"]
    edit_container(ctx, task["ContainerSpec"], args)
    if args.any_given("label-add", "label-rm"):
        spec["Labels"] = edit_map(spec.get("Labels"), args.items("label-add"), args.items("label-rm"))
    _edit_mode(spec["Mode"], args)
    task["Resources"] = resources(args, task.get("Resources"))
    if args.any_given("generic-resource-add", "generic-resource-rm"):
        reservations = task["Resources"]["Reservations"]
        added = [generic_resource(text) for text in args.items("generic-resource-add")]
        reservations["GenericResources"] = edit_list(
            reservations.get("GenericResources"), added, args.items("generic-resource-rm"), _resource_kind
        )
    for key, value in (
        ("RestartPolicy", restart_policy(args, task.get("RestartPolicy"))),
        ("LogDriver", log_driver(args) or task.get("LogDriver")),
    ):
        if value is not None:
            task[key] = value
    placement = task.setdefault("Placement", {})
    if args.any_given("constraint-add", "constraint-rm"):
        added, removed = args.items("constraint-add"), args.items("constraint-rm")
        placement["Constraints"] = sorted(edit_list(placement.get("Constraints"), added, removed))
    if args.any_given("placement-pref-add", "placement-pref-rm"):
        gone = args.items("placement-pref-rm")
        kept = [item for item in placement.get("Preferences") or () if item not in gone]
        placement["Preferences"] = kept + args.items("placement-pref-add")
    if args.given("replicas-max-per-node"):
        placement["MaxReplicas"] = args["replicas-max-per-node"]
    if args.any_given("network-add", "network-rm"):
        _edit_networks(ctx, spec, args)
    for flag, key in (("update", "UpdateConfig"), ("rollback", "RollbackConfig")):
        if (config := update_config(args, flag, spec.get(key))) is not None:
            spec[key] = config
    endpoint = spec.setdefault("EndpointSpec", {})
    if args.given("endpoint-mode"):
        endpoint["Mode"] = args.text("endpoint-mode")
    if args.any_given("publish-add", "publish-rm"):
        endpoint["Ports"] = edit_ports(endpoint.get("Ports") or [], args)
    if args.on("force"):
        task["ForceUpdate"] = task.get("ForceUpdate", 0) + 1


def _resource_kind(item: Json) -> str:
    return str(next(iter(item.values()))["Kind"])


def _edit_mode(mode: Json, args: Arguments) -> None:
    if args.given("replicas"):
        if "Replicated" in mode:
            mode["Replicated"]["Replicas"] = args["replicas"]
        elif "ReplicatedJob" in mode:
            mode["ReplicatedJob"]["TotalCompletions"] = args["replicas"]
        else:
            raise InvalidArgument("replicas can only be used with replicated mode")
    if args.given("max-concurrent"):
        if "ReplicatedJob" not in mode:
            raise InvalidArgument("max-concurrent can only be used with replicated-job mode")
        mode["ReplicatedJob"]["MaxConcurrent"] = args["max-concurrent"]


def _edit_networks(ctx: Context, spec: Json, args: Arguments) -> None:
    task = spec["TaskTemplate"]
    gone = {network["Target"] for network in attachments(ctx, args.items("network-rm"))}
    before = task.get("Networks") or spec.get("Networks") or []
    kept = [network for network in before if network["Target"] not in gone]
    for network in attachments(ctx, args.items("network-add")):
        if any(network["Target"] == have["Target"] for have in kept):
            raise InvalidArgument(f"service is already attached to network {network['Target']}")
        kept.append(network)
    task["Networks"] = sorted(kept, key=lambda network: str(network["Target"]))
    spec.pop("Networks", None)


def send_update(ctx: Context, service: Json, spec: Json, query: Json | None = None, headers: Any = None) -> list[str]:
    """Post a spec in place of the one that was read; the daemon's warnings."""
    path = f"/services/{service['ID']}/update"
    answer = ctx.engine.post(path, {"version": service["Version"]["Index"], **(query or {})}, spec, headers)
    return list((answer or {}).get("Warnings") or ())


def run_update(ctx: Context, args: Arguments) -> int:
    """Update a service and wait until it has converged."""
    name = args.words[0]
    service = ctx.engine.get(f"/services/{quote(name)}")
    spec = service["Spec"]
    query: Json = {"registryAuthFrom": "spec"}
    warnings: list[str] = []
    headers: dict[str, str] = {}
    if args.on("rollback"):
        query["rollback"] = "previous"
    else:
        edit_spec(ctx, spec, args)
        image = args.text("image") or spec["TaskTemplate"]["ContainerSpec"]["Image"]
        if args.given("image"):
            warning = resolve_image(ctx, image, spec["TaskTemplate"], resolve=not args.on("no-resolve-image"))
            warnings += [warning] if warning else []
        if headers := registry_auth(ctx, args, image):
            del query["registryAuthFrom"]
    warnings = send_update(ctx, service, spec, query, headers) + warnings
    for text in warnings:
        ctx.err(text)
    ctx.out(name)
    return _wait(ctx, args, service["ID"], name)


def _wait(ctx: Context, args: Arguments, identifier: str, shown: str) -> int:
    sys.stdout.flush()
    if not any(args.given(flag) and args.on(flag) for flag in ("detach", "quiet")):
        wait_for_service(ctx, identifier, shown, sys.stdout)
    return 0


def run_rollback(ctx: Context, args: Arguments) -> int:
    """Return to the spec before the last update."""
    name = args.words[0]
    service = ctx.engine.get(f"/services/{quote(name)}")
    for text in send_update(ctx, service, service["Spec"], {"rollback": "previous"}):
        ctx.err(text)
    ctx.out(name)
    return _wait(ctx, args, service["ID"], name)


def run_scale(ctx: Context, args: Arguments) -> int:
    """Set the number of replicas of services."""
    errors: list[str] = []
    scaled: list[tuple[str, str]] = []
    for word in args.words:
        name, separator, count = word.partition("=")
        if not separator or not name:
            raise InvalidArgument(
                f"invalid scale specifier '{word}'.\nSee '{ctx.path} --help'.\n\n"
                f"Usage:  {ctx.path} SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\n{SCALE_HELP}"
            )
        try:
            scaled.append((_scale(ctx, name, count), name))
        except ShoalError as error:
            errors.append(f"{name}: {error}")
            continue
        ctx.out(f"{name} scaled to {count}")
    for identifier, name in scaled:
        _wait(ctx, args, identifier, name)
    for text in errors:
        ctx.err(text)
    return 1 if errors else 0


def _scale(ctx: Context, name: str, count: str) -> str:
    try:
        number = parse_uint(count)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid replicas value {count}: {error}") from error
    service = ctx.engine.get(f"/services/{quote(name)}")
    mode = service["Spec"]["Mode"]
    if "Replicated" in mode:
        mode["Replicated"]["Replicas"] = number
    elif "ReplicatedJob" in mode:
        mode["ReplicatedJob"]["TotalCompletions"] = number
    else:
        raise InvalidArgument("scale can only be used with replicated or replicated-job mode")
    for text in send_update(ctx, service, service["Spec"]):
        ctx.err(text)
    return str(service["ID"])


def both(name: str, kind: Any, what: str, remove: Any = LIST) -> tuple[Flag, Flag]:
    """The flags that add to a list and that remove from it."""
    return Flag(f"{name}-add", kind, f"Add or change {what}"), Flag(f"{name}-rm", remove, f"Remove {what}")


SCALE_HELP = "Scale one or multiple replicated services"
UPDATE_FLAGS = (
    *(flag._replace(shown="") for flag in SHARED_FLAGS),
    Flag("args", WORDS, "Arguments of the command"),
    *both("config", CONFIG, "a config"),
    *both("constraint", LIST, "a placement constraint"),
    *both("container-label", PAIRS, "a label of the containers"),
    *both("dns", LIST, "a DNS server"),
    *both("dns-option", LIST, "a DNS option"),
    *both("dns-search", LIST, "a domain to search for names"),
    *both("env", ENVIRONMENT, "an environment variable"),
    switch("force", "Replace the tasks even if nothing has changed"),
    *both("generic-resource", LIST, "a resource of your own kind"),
    *both("group", LIST, "a group to join"),
    *both("host", LIST, "a line of the containers' hosts file (host:ip)"),
    text_flag("image", "Image of the service"),
    *both("label", PAIRS, "a label of the service"),
    *both("mount", MOUNT, "a mount (removed by its target)"),
    *both("network", NETWORK, "a network", NETWORK),
    *both("placement-pref", PREFERENCE, "a placement preference", PREFERENCE),
    Flag("publish-add", PORT, "Add or change a published port"),
    Flag("publish-rm", LIST._replace(label="port"), "Remove a published port by its target port"),
    switch("rollback", "Return to the spec before the last update"),
    *both("secret", SECRET, "a secret"),
    *both("sysctl", PAIRS, "a kernel parameter"),
    *both("ulimit", ULIMIT, "a resource limit"),
)
COMMANDS = (
    Command(
        "update",
        "Update a service",
        run_update,
        "SERVICE",
        1,
        1,
        flags=UPDATE_FLAGS,
        examples=(
            "service update --image nginx:1.27 web",
            "service update --publish-add 8081:80 --env-add DEBUG=1 web",
        ),
        completes=("services",),
    ),
    Command(
        "scale",
        SCALE_HELP,
        run_scale,
        "SERVICE=REPLICAS [SERVICE=REPLICAS...]",
        1,
        flags=(DETACH,),
        examples=("service scale web=5 api=3",),
        completes=("services",),
    ),
    Command(
        "rollback",
        "Revert changes to a service's configuration",
        run_rollback,
        "SERVICE",
        1,
        1,
        flags=(DETACH, QUIET),
        examples=("service rollback web",),
        completes=("services",),
    ),
)
