"""``shoal info``."""

from collections.abc import Iterator

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.inspection import show_one
from shoal.cli.kinds import text_flag
from shoal.cli.quantities import SECOND, binary_size, human_duration
from shoal.client.engine import Json
from shoal.errors import ShoalError
from shoal.version import VERSION


def _yes(value: object) -> str:
    return "true" if value else "false"


def server_lines(info: Json) -> Iterator[str]:
    """The daemon's part, each line as docker has it."""
    yield f" Containers: {info['Containers']}"
    for name in ("Running", "Paused", "Stopped"):
        yield f"  {name}: {info[f'Containers{name}']}"
    yield f" Images: {info['Images']}"
    if info.get("ServerVersion"):
        yield f" Server Version: {info['ServerVersion']}"
    yield f" Storage Driver: {info['Driver']}"
    yield from (f"  {name}: {value}" for name, value in info.get("DriverStatus") or ())
    for title, key in (
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
    ):
        if info.get(key):
            yield f" {title}: {info[key]}"
    plugins = info.get("Plugins") or {}
    yield " Plugins:"
    yield f"  Volume: {' '.join(plugins.get('Volume') or ())}"
    yield f"  Network: {' '.join(plugins.get('Network') or ())}"
    if plugins.get("Authorization"):
        yield f"  Authorization: {' '.join(plugins['Authorization'])}"
    yield f"  Log: {' '.join(plugins.get('Log') or ())}"
    yield from swarm_lines(info.get("Swarm") or {})
    if info.get("Runtimes"):
        yield f" Runtimes: {' '.join(sorted(info['Runtimes']))}"
        yield f" Default Runtime: {info.get('DefaultRuntime', '')}"
    if info.get("OSType") == "linux":
        yield f" Init Binary: {info.get('InitBinary', '')}"
        for title, key in (("containerd", "ContainerdCommit"), ("runc", "RuncCommit"), ("init", "InitCommit")):
            yield f" {title} version: {(info.get(key) or {}).get('ID', '')}"
        yield from security_lines(info.get("SecurityOptions") or [])
    for title, key in (
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
    ):
        if info.get(key):
            yield f" {title}: {info[key]}"
    yield f" CPUs: {info['NCPU']}"
    yield f" Total Memory: {binary_size(info['MemTotal'])}"
    for title, key in (("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir")):
        if info.get(key):
            yield f" {title}: {info[key]}"
    yield f" Debug Mode: {_yes(info.get('Debug'))}"
    if info.get("Debug"):
        yield f"  File Descriptors: {info.get('NFd', 0)}"
        yield f"  Goroutines: {info.get('NGoroutines', 0)}"
        yield f"  System Time: {info.get('SystemTime', '')}"
        yield f"  EventsListeners: {info.get('NEventsListener', 0)}"
    for title, key in (("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")):
        if info.get(key):
            yield f" {title}: {info[key]}"
    if info.get("Labels"):
        yield " Labels:"
        yield from (f"  {label}" for label in info["Labels"])
    yield f" Experimental: {_yes(info.get('ExperimentalBuild'))}"
    registries = info.get("RegistryConfig") or {}
    insecure = [name for name, config in (registries.get("IndexConfigs") or {}).items() if not config.get("Secure")]
    if insecure or registries.get("InsecureRegistryCIDRs"):
        yield " Insecure Registries:"
        yield from (f"  {name}" for name in (*insecure, *(registries.get("InsecureRegistryCIDRs") or ())))
    if registries.get("Mirrors"):
        yield " Registry Mirrors:"
        yield from (f"  {mirror}" for mirror in registries["Mirrors"])
    yield f" Live Restore Enabled: {_yes(info.get('LiveRestoreEnabled'))}"
    if info.get("ProductLicense"):
        yield f" Product License: {info['ProductLicense']}"
    if pools := info.get("DefaultAddressPools"):
        yield " Default Address Pools:"
        yield from (f"   Base: {pool['Base']}, Size: {pool['Size']}" for pool in pools)
    if info.get("FirewallBackend"):
        yield f" Firewall Backend: {info['FirewallBackend'].get('Driver', '')}"
    yield ""


def security_lines(options: list[str]) -> Iterator[str]:
    """``name=seccomp,profile=default`` and the like, a line for each part."""
    if options:
        yield " Security Options:"
    for option in options:
        fields = dict(part.partition("=")[::2] for part in option.split(","))
        yield f"  {fields.pop('name', option)}"
        yield from (f"   {key.capitalize()}: {value}" for key, value in fields.items())


def swarm_lines(swarm: Json) -> Iterator[str]:
    """What the node is in its swarm."""
    state = swarm.get("LocalNodeState", "inactive")
    yield f" Swarm: {state}"
    if state in ("inactive", "locked"):
        return
    yield f"  NodeID: {swarm['NodeID']}"
    if swarm.get("Error"):
        yield f"  Error: {swarm['Error']}"
    yield f"  Is Manager: {_yes(swarm.get('ControlAvailable'))}"
    cluster = swarm.get("Cluster")
    if cluster and swarm.get("ControlAvailable") and not swarm.get("Error"):
        yield from _cluster_lines(swarm, cluster)
    yield f"  Node Address: {swarm['NodeAddr']}"
    managers = sorted(manager["Addr"] for manager in swarm.get("RemoteManagers") or ())
    if managers:
        yield "  Manager Addresses:"
        yield from (f"   {address}" for address in managers)


def _cluster_lines(swarm: Json, cluster: Json) -> Iterator[str]:
    spec = cluster["Spec"]
    raft, authority = spec.get("Raft") or {}, spec.get("CAConfig") or {}
    yield f"  ClusterID: {cluster['ID']}"
    yield f"  Managers: {swarm.get('Managers', 0)}"
    yield f"  Nodes: {swarm.get('Nodes', 0)}"
    if pools := cluster.get("DefaultAddrPool"):
        yield f"  Default Address Pool: {'  '.join(pools)}  "
        yield f"  SubnetSize: {cluster.get('SubnetSize', 24)}"
    if cluster.get("DataPathPort"):
        yield f"  Data Path Port: {cluster['DataPathPort']}"
    history = (spec.get("Orchestration") or {}).get("TaskHistoryRetentionLimit", 0)
    yield f"  Orchestration:\n   Task History Retention Limit: {history}"
    yield "  Raft:"
    yield f"   Snapshot Interval: {raft.get('SnapshotInterval', 0)}"
    yield f"   Number of Old Snapshots to Retain: {raft.get('KeepOldSnapshots', 0)}"
    yield f"   Heartbeat Tick: {raft.get('HeartbeatTick', 0)}"
    yield f"   Election Tick: {raft.get('ElectionTick', 0)}"
    heartbeat = (spec.get("Dispatcher") or {}).get("HeartbeatPeriod", 0)
    yield f"  Dispatcher:\n   Heartbeat Period: {_lower(human_duration(heartbeat / SECOND))}"
    yield "  CA Configuration:"
    yield f"   Expiry Duration: {_lower(human_duration(authority.get('NodeCertExpiry', 0) / SECOND))}"
    yield f"   Force Rotate: {authority.get('ForceRotate', 0)}"
    if authority.get("SigningCACert"):
        yield f"   Signing CA Certificate: \n{authority['SigningCACert'].strip()}\n"
    if authority.get("ExternalCAs"):
        yield "   External CAs:"
        yield from (f"     {item['Protocol']}: {item['URL']}" for item in authority["ExternalCAs"])
    yield f"  Autolock Managers: {_yes((spec.get('EncryptionConfig') or {}).get('AutoLockManagers'))}"
    yield f"  Root Rotation In Progress: {_yes(cluster.get('RootRotationInProgress'))}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def run_info(ctx: Context, args: Arguments) -> int:
    """Print what the daemon says of itself."""
    client = {"Version": VERSION, "Context": "default", "Debug": False}
    problem, info = "", None
    try:
        info = ctx.engine.get("/info")
    except ShoalError as error:
        problem = str(error)
    if form := args.text("format"):
        show_one(ctx, {**(info or {}), "ClientInfo": client, **({"ServerErrors": [problem]} if problem else {})}, form)
    else:
        ctx.out(f"Client:\n Version:    {VERSION}\n Context:    default\n Debug Mode: false\n\nServer:")
        if info:
            ctx.out("\n".join(server_lines(info)))
            for text in info.get("Warnings") or ():
                ctx.err(text)
    if problem:
        ctx.err(problem)
        return 1
    return 0


COMMANDS = (
    Command(
        "info",
        "Display system-wide information",
        run_info,
        most=0,
        flags=(text_flag("format", "Output format: 'json' or a Go template", "f"),),
        examples=("info", "info -f '{{.Swarm.NodeID}}'"),
    ),
)
