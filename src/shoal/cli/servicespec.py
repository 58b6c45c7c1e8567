"""The parts of a ServiceSpec that flags describe, for create (all of them) and update (those that were given)."""

import json

from shoal.cli.command import Arguments
from shoal.cli.context import Context
from shoal.cli.imagenames import familiar
from shoal.client.engine import Json, quote
from shoal.client.registry import auth_header, auth_of, registry_of
from shoal.errors import NotFound, ShoalError

UPDATE_KEYS = {
    "parallelism": "Parallelism",
    "delay": "Delay",
    "failure-action": "FailureAction",
    "monitor": "Monitor",
    "max-failure-ratio": "MaxFailureRatio",
    "order": "Order",
}
NO_DIGEST = (
    "image {0} could not be accessed on a registry to record\n"
    "its digest. Each node will access {0} independently,\n"
    "possibly leading to different nodes running different\n"
    "versions of the image.\n"
)


def update_config(args: Arguments, prefix: str, before: Json | None) -> Json | None:
    """The update's (or rollback's) configuration; None while no flag has ever asked for one."""
    if not any(args.given(f"{prefix}-{flag}") for flag in UPDATE_KEYS):
        return before
    config = dict(before or {key: args[f"{prefix}-{flag}"] for flag, key in UPDATE_KEYS.items()})
    config |= {key: args[f"{prefix}-{flag}"] for flag, key in UPDATE_KEYS.items() if args.given(f"{prefix}-{flag}")}
    return config


def restart_policy(args: Arguments, before: Json | None) -> Json | None:
    """The restart policy; None while no flag has ever asked for one."""
    keys = {
        "restart-condition": "Condition",
        "restart-delay": "Delay",
        "restart-max-attempts": "MaxAttempts",
        "restart-window": "Window",
    }
    if not args.any_given(*keys):
        return before
    start = {"Delay": args["restart-delay"]} if before is None else before
    return {**start, **{key: args[flag] for flag, key in keys.items() if args.given(flag)}}


def resources(args: Arguments, before: Json | None) -> Json:
    """Limits and reservations."""
    found: Json = {"Limits": {}, "Reservations": {}, **(before or {})}
    limits = {"limit-cpu": "NanoCPUs", "limit-memory": "MemoryBytes", "limit-pids": "Pids"}
    reservations = {"reserve-cpu": "NanoCPUs", "reserve-memory": "MemoryBytes"}
    for name, keys in (("Limits", limits), ("Reservations", reservations)):
        given = {key: args[flag] for flag, key in keys.items() if args.given(flag)}
        found[name] = {**(found.get(name) or {}), **given}
    return found


def container_settings(args: Arguments) -> Json:
    """The fields of a ContainerSpec that are set as a whole by one flag each, those that were given."""
    names = {
        "entrypoint": "Command",
        "hostname": "Hostname",
        "workdir": "Dir",
        "user": "User",
        "stop-signal": "StopSignal",
        "stop-grace-period": "StopGracePeriod",
        "read-only": "ReadOnly",
        "tty": "TTY",
        "init": "Init",
        "isolation": "Isolation",
    }
    return {key: args[flag] for flag, key in names.items() if args.given(flag)}


def attachments(ctx: Context, networks: list[Json]) -> list[Json]:
    """Network attachments with ids in place of names, in the order of the ids. Raises NotFound."""
    found = []
    for network in networks:
        target = ctx.engine.get(f"/networks/{quote(network['Target'])}", {"scope": "swarm"})["Id"]
        options: Json = {key: network[key] for key in ("Aliases", "DriverOpts") if key in network}
        found.append({**options, "Target": target})
    return sorted(found, key=lambda network: str(network["Target"]))


def references(ctx: Context, wanted: list[Json], kind: str) -> list[Json]:
    """Secrets or configs (``kind``: Secret, Config) with the ids of those that are named. Raises NotFound."""
    if not wanted:
        return []
    known = {item["Spec"]["Name"]: item["ID"] for item in ctx.engine.get(f"/{kind.lower()}s")}
    found = []
    for item in wanted:
        if item["source"] not in known:
            raise NotFound(f"{kind.lower()} not found: {item['source']}")
        file = {"Name": item["target"], "UID": item["uid"], "GID": item["gid"], "Mode": item["mode"]}
        found.append({"File": file, f"{kind}ID": known[item["source"]], f"{kind}Name": item["source"]})
    return found


def resolve_image(ctx: Context, image: str, task: Json, *, resolve: bool) -> str | None:
    """Pin the image to its digest and platforms, where the registry tells; a warning where it does not.

    ``task`` is the task template, whose placement takes the platforms.
    """
    name = familiar(image)
    task["ContainerSpec"]["Image"] = name
    if not resolve or "@" in name:
        return None
    auth = auth_header(auth_of(ctx.config, registry_of(image)))
    try:
        response = ctx.engine.call("GET", f"/distribution/{name}/json", headers=auth)
        found = json.loads(response.read())
    except ShoalError:
        return NO_DIGEST.format(name)
    task["ContainerSpec"]["Image"] = f"{name}@{found['Descriptor']['digest']}"
    platforms = [{"Architecture": item["architecture"], "OS": item["os"]} for item in found.get("Platforms") or ()]
    if platforms:
        task.setdefault("Placement", {})["Platforms"] = platforms
    return None


def registry_auth(ctx: Context, args: Arguments, image: str) -> dict[str, str]:
    """The header with the registry's credentials, when the user wants the nodes to have them."""
    if not args.on("with-registry-auth"):
        return {}
    return auth_header(auth_of(ctx.config, registry_of(image)))
