"""``--pretty``: a node or a service for people to read, laid out as docker lays it out (its tabs included)."""

from collections.abc import Iterator

from shoal.cli.quantities import binary_size, format_duration, go_time_exact, human_duration, parse_time
from shoal.client.engine import Json


def node_text(node: Json) -> str:
    """A node, for people."""
    return "\n".join(_node(node))


def _node(node: Json) -> Iterator[str]:
    spec, description, status = node["Spec"], node["Description"], node["Status"]
    yield f"ID:\t\t\t{node['ID']}"
    if spec.get("Name"):
        yield f"Name:\t\t\t{spec['Name']}"
    yield from _labels("Labels:", spec.get("Labels") or {}, " - ")
    yield f"Hostname:              \t{description['Hostname']}"
    yield f"Joined at:             \t{go_time_exact(node['CreatedAt']).lower()}"
    yield "Status:"
    yield f" State:\t\t\t{status['State'].capitalize()}"
    if status.get("Message"):
        yield f" Message:              \t{status['Message'].capitalize()}"
    yield f" Availability:         \t{spec['Availability'].capitalize()}"
    if status.get("Addr"):
        yield f" Address:\t\t{status['Addr']}"
    if manager := node.get("ManagerStatus"):
        yield "Manager Status:"
        yield f" Address:\t\t{manager['Addr']}"
        yield f" Raft Status:\t\t{manager['Reachability'].capitalize()}"
        yield f" Leader:\t\t{'Yes' if manager.get('Leader') else 'No'}"
    platform, resources = description.get("Platform") or {}, description.get("Resources") or {}
    yield "Platform:"
    yield f" Operating System:\t{platform.get('OS', '')}"
    yield f" Architecture:\t\t{platform.get('Architecture', '')}"
    yield "Resources:"
    yield f" CPUs:\t\t\t{resources.get('NanoCPUs', 0) // 10**9}"
    yield f" Memory:\t\t{binary_size(resources.get('MemoryBytes', 0))}"
    engine = description.get("Engine") or {}
    if plugins := engine.get("Plugins"):
        yield "Plugins:"
        for kind in dict.fromkeys(plugin["Type"] for plugin in plugins):
            names = ", ".join(plugin["Name"] for plugin in plugins if plugin["Type"] == kind)
            yield f" {kind}:\t\t{names}"
    yield f"Engine Version:\t\t{engine.get('EngineVersion', '')}"
    yield from _labels("Engine Labels:", engine.get("Labels") or {}, " - ")
    if tls := description.get("TLSInfo"):
        yield f"TLS Info:\n TrustRoot:\n{tls['TrustRoot']}"
        yield f" Issuer Subject:\t{tls['CertIssuerSubject']}"
        yield f" Issuer Public Key:\t{tls['CertIssuerPublicKey']}"


def service_text(service: Json, network_names: dict[str, str], now: float) -> str:
    """A service, for people; ``network_names`` by id."""
    return "\n".join(_service(service, network_names, now)) + "\n"


def _service(service: Json, network_names: dict[str, str], now: float) -> Iterator[str]:
    spec = service["Spec"]
    task = spec["TaskTemplate"]
    yield f"\nID:\t\t{service['ID']}"
    yield f"Name:\t\t{spec['Name']}"
    yield from _labels("Labels:", spec.get("Labels") or {}, " ")
    yield from _mode(spec["Mode"])
    if update := service.get("UpdateStatus"):
        yield "UpdateStatus:"
        yield f" State:\t\t{update['State']}"
        if started := parse_time(update.get("StartedAt", "")):
            yield f" Started:\t{_ago(now - started)}"
        if update["State"] == "completed" and (completed := parse_time(update.get("CompletedAt", ""))):
            yield f" Completed:\t{_ago(now - completed)}"
        yield f" Message:\t{update.get('Message', '')}"
    yield "Placement:"
    placement = task.get("Placement") or {}
    if placement.get("Constraints"):
        yield f" Constraints:\t[{' '.join(placement['Constraints'])}]"
    if preferences := placement.get("Preferences"):
        spread = " ".join(f"spread={item['Spread']['SpreadDescriptor']}" for item in preferences)
        yield f" Preferences:   [{spread}]"
    if placement.get("MaxReplicas"):
        yield f" Max Replicas Per Node:   {placement['MaxReplicas']}"
    yield from _update_config("UpdateConfig:", "Update order:      ", spec.get("UpdateConfig"))
    yield from _update_config("RollbackConfig:", "Rollback order:    ", spec.get("RollbackConfig"))
    container = task["ContainerSpec"]
    yield from _container(container)
    if driver := task.get("LogDriver"):
        yield f"Log Driver:\n Name:\t\t{driver['Name']}"
        if driver.get("Options"):
            yield " LogOpts:"
            yield from (f"  {key}:       {value}" for key, value in driver["Options"].items())
            yield ""
    yield "Resources:"
    yield from _resources(" Reservations:", (task.get("Resources") or {}).get("Reservations") or {})
    yield from _resources(" Limits:", (task.get("Resources") or {}).get("Limits") or {})
    networks = task.get("Networks") or spec.get("Networks") or ()
    if networks:
        yield "Networks: " + "".join(f"{network_names.get(item['Target'], item['Target'])} " for item in networks)
    endpoint = service.get("Endpoint") or {}
    if mode := (endpoint.get("Spec") or {}).get("Mode") or (spec.get("EndpointSpec") or {}).get("Mode"):
        yield f"Endpoint Mode:\t{mode}"
    yield from _ports(endpoint.get("Ports") or ())
    if health := container.get("Healthcheck"):
        yield " Healthcheck:"
        yield f"  Interval = {format_duration(health.get('Interval', 0))}"
        yield f"  Retries = {health.get('Retries', 0)}"
        yield f"  StartPeriod =\t{format_duration(health.get('StartPeriod', 0))}"
        yield f"  Timeout =\t{format_duration(health.get('Timeout', 0))}"
        tests = health.get("Test") or ()
        if tests:
            yield "  Tests:\n" + "\n".join(f"\t Test = {test}" for test in tests) + " "


def _ago(seconds: float) -> str:
    text = human_duration(seconds)
    return f"{text[0].lower()}{text[1:]} ago"


def _labels(title: str, labels: dict[str, str], indent: str) -> Iterator[str]:
    if labels:
        yield title
        yield from (f"{indent}{key}={value}" if value else f"{indent}{key}" for key, value in labels.items())


def _mode(mode: Json) -> Iterator[str]:
    if "Global" in mode:
        yield "Service Mode:\tGlobal"
    elif "Replicated" in mode:
        yield "Service Mode:\tReplicated"
        yield f" Replicas:\t{mode['Replicated'].get('Replicas', 0)}"
    elif "ReplicatedJob" in mode:
        yield "Service Mode:\tReplicatedJob"
        yield f" Max Concurrent:\t{mode['ReplicatedJob'].get('MaxConcurrent', 0)}"
        yield f" Total Completions:\t{mode['ReplicatedJob'].get('TotalCompletions', 0)}"
    else:
        yield "Service Mode:\tGlobalJob"


def _update_config(title: str, order: str, config: Json | None) -> Iterator[str]:
    if not config:
        return
    yield title
    yield f" Parallelism:\t{config.get('Parallelism', 0)}"
    if config.get("Delay"):
        yield f" Delay:\t\t{format_duration(config['Delay'])}"
    yield f" On failure:\t{config.get('FailureAction', '')}"
    if config.get("Monitor"):
        yield f" Monitoring Period: {format_duration(config['Monitor'])}"
    yield f" Max failure ratio: {config.get('MaxFailureRatio', 0):g}"
    yield f" {order}{config.get('Order', '')}"


def _container(container: Json) -> Iterator[str]:
    yield "ContainerSpec:"
    yield f" Image:\t\t{container['Image']}"
    for title, key in (("Args:\t\t", "Args"), ("Env:\t\t", "Env")):
        if container.get(key):
            yield f" {title}{' '.join(container[key])} "
    if container.get("Dir"):
        yield f" Dir:\t\t{container['Dir']}"
    if container.get("Init") is not None:
        yield f" Init:\t\t{'true' if container['Init'] else 'false'}"
    if container.get("User"):
        yield f" User: {container['User']}"
    if container.get("CapabilityAdd") or container.get("CapabilityDrop"):
        yield "Capabilities:"
        for title, key in (("Add", "CapabilityAdd"), ("Drop", "CapabilityDrop")):
            if container.get(key):
                yield f" {title}: {', '.join(container[key])}"
    if container.get("Sysctls"):
        yield "SysCtls:"
        yield from (f" {key}: {value}" for key, value in container["Sysctls"].items())
    if container.get("Ulimits"):
        yield "Ulimits:"
        yield from (f" {limit['Name']}: {limit['Soft']}:{limit['Hard']}" for limit in container["Ulimits"])
    if container.get("Mounts"):
        yield "Mounts:"
        for mount in container["Mounts"]:
            yield f" Target:\t{mount['Target']}"
            yield f"  Source:\t{mount.get('Source', '')}"
            yield f"  ReadOnly:\t{'true' if mount.get('ReadOnly') else 'false'}"
            yield f"  Type:\t\t{mount['Type']}"
    for title, key in (("Configs", "Configs"), ("Secrets", "Secrets")):
        if container.get(key):
            yield f"{title}:"
            for item in container[key]:
                yield f" Target:\t{(item.get('File') or {}).get('Name', '')}"
                yield f"  Source:\t{item[key[:-1] + 'Name']}"


def _resources(title: str, amounts: Json) -> Iterator[str]:
    lines = []
    if amounts.get("NanoCPUs"):
        lines.append(f"  CPU:\t\t{amounts['NanoCPUs'] / 1e9:g}")
    if amounts.get("MemoryBytes"):
        lines.append(f"  Memory:\t{binary_size(amounts['MemoryBytes'])}")
    if amounts.get("Pids"):
        lines.append(f"  PIDs:\t\t{amounts['Pids']}")
    if lines:
        yield title
        yield from lines


def _ports(ports: list[Json] | tuple[()]) -> Iterator[str]:
    if ports:
        texts = [
            f" PublishedPort = {port.get('PublishedPort', 0)}\n  Protocol = {port['Protocol']}\n"
            f"  TargetPort = {port['TargetPort']}\n  PublishMode = {port['PublishMode']}"
            for port in ports
        ]
        yield "Ports:\n" + "\n".join(texts) + " "
