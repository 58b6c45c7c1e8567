"""shoald's configuration: dockerd's flags and its JSON file, read once into one frozen object.

Flags that mean nothing here are taken and said so, so that shoald can stand wherever a dockerd stood.
"""

import argparse
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from shoal.daemon.place import OwnEtcd
from shoal.errors import InvalidArgument
from shoal.store.etcd.address import TLS as TLSFiles
from shoal.store.etcd.address import Address
from shoal.version import VERSION

# dockerd's flags that have no meaning here, and whether they take a value.
_IGNORED = {
    "storage-driver": True, "storage-opt": True, "exec-opt": True, "log-driver": True, "log-opt": True,
    "iptables": False, "ip6tables": False, "ip-masq": False, "ip-forward": False, "userland-proxy": False,
    "userland-proxy-path": True, "live-restore": False, "experimental": False, "selinux-enabled": False,
    "userns-remap": True, "seccomp-profile": True, "default-runtime": True, "add-runtime": True,
    "init": False, "init-path": True, "default-shm-size": True, "default-ulimit": True, "ipv6": False,
    "fixed-cidr": True, "fixed-cidr-v6": True, "icc": False, "ip": True, "default-gateway": True,
    "default-gateway-v6": True, "max-concurrent-downloads": True, "max-concurrent-uploads": True,
    "max-download-attempts": True, "shutdown-timeout": True, "network-control-plane-mtu": True,
    "oom-score-adjust": True, "raw-logs": False, "rootless": False, "no-new-privileges": False,
    "authorization-plugin": True, "containerd-namespace": True, "containerd-plugins-namespace": True,
    "cri-containerd": False, "api-cors-header": True, "swarm-default-advertise-addr": True,
    "node-generic-resource": True, "cpu-rt-period": True, "cpu-rt-runtime": True,
    "allow-nondistributable-artifacts": True, "host-gateway-ip": True, "default-network-opt": True,
    "default-ipc-mode": True, "default-cgroupns-mode": True, "bridge-accept-fwmark": True, "cdi-spec-dir": True,
    "feature": True, "firewall-backend": True, "dns-opt": True, "dns-search": True, "log-format": True,
    "http-proxy": True, "https-proxy": True, "no-proxy": True, "allow-direct-routing": False,
    "ip-forward-no-drop": False,
}  # fmt: skip


@dataclass(frozen=True)
class TLS:
    """How the API is served over TCP."""

    enabled: bool = False
    verify: bool = False
    ca: Path = Path("/etc/docker/ca.pem")
    cert: Path = Path("/etc/docker/cert.pem")
    key: Path = Path("/etc/docker/key.pem")


@dataclass(frozen=True)
class Config:
    """Everything that can be set. ``hosts`` are the sockets asked for, none for the defaults."""

    hosts: tuple[str, ...] = ()
    data_root: Path = Path("/var/lib/shoal")
    exec_root: Path = Path("/run/shoal")
    pidfile: Path = Path("/run/shoald.pid")
    containerd: str | None = None
    bridge: str = "docker0"
    bip: str | None = None
    mtu: int | None = None
    default_address_pools: tuple[tuple[str, int], ...] = ()
    labels: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    insecure_registries: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    cgroup_parent: str = "/shoal"
    group: str = "docker"
    debug: bool = False
    log_level: str = "info"
    metrics_address: str | None = None
    tls: TLS = field(default_factory=TLS)
    store: OwnEtcd | None = None
    validate: bool = False
    recover: bool = False
    notices: tuple[str, ...] = ()


def parse(argv: Sequence[str]) -> Config:
    """The configuration from flags and file. Raises InvalidArgument with what is wrong, in either; ``--help`` and
    ``--version`` end the process."""
    given = vars(_parser().parse_args(list(argv)))
    explicit = given["config_file"] is not None
    path = Path(given.pop("config_file") or "/etc/shoal/daemon.json")
    from_file = _read_file(path, required=explicit)
    merged = _merge({key: value for key, value in given.items() if value is not None}, from_file)
    return _config(merged)


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        """What argparse calls for a command line that can't be. Raises InvalidArgument, always."""
        text = message.replace("unrecognized arguments:", "unknown flag or argument:")
        raise InvalidArgument(f"{text}\nSee '{self.prog} --help'.")


def _boolean(text: str) -> bool:
    """As Go's flags: ``--debug``, ``--debug=false``, ``--debug=0``."""
    words = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    if text.lower() not in words:
        raise ValueError
    return words[text.lower()]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="shoald",
        description="The Shoal daemon: a Docker-Swarm-compatible container engine and orchestrator.",
        epilog="Example: shoald --data-root /srv/shoal -H unix:///run/shoal/shoal.sock -H tcp://127.0.0.1:2375",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-H", "--host", dest="hosts", action="append", metavar="LIST", help="socket to listen on; may be repeated")
    add("--config-file", metavar="FILE", help="JSON file with the same settings (default /etc/shoal/daemon.json)")
    add("--data-root", metavar="DIR", help="what must survive a reboot (default /var/lib/shoal)")
    add("--exec-root", metavar="DIR", help="what need not (default /run/shoal)")
    add("-p", "--pidfile", metavar="FILE", help="where the process id is kept (default /run/shoald.pid)")
    add("--containerd", metavar="SOCKET", help="use this containerd; else shoald runs one of its own")
    add("-b", "--bridge", metavar="NAME", help="the default network's bridge (default docker0), or 'none'")
    add("--bip", metavar="CIDR", help="the default bridge's address")
    add("--mtu", type=int, metavar="BYTES", help="the MTU of bridge networks (default 1500)")
    add("--default-address-pool", dest="default_address_pools", action="append", metavar="base=CIDR,size=N")
    add("--label", dest="labels", action="append", metavar="KEY=VALUE", help="a label of this engine")
    add("--registry-mirror", dest="registry_mirrors", action="append", metavar="URL")
    add("--insecure-registry", dest="insecure_registries", action="append", metavar="HOST")
    add("--dns", action="append", metavar="IP", help="resolver for names outside")
    add("--cgroup-parent", metavar="PATH")
    add("-G", "--group", metavar="GROUP", help="the unix socket's group (default docker)")
    for names, text in (
        (("-D", "--debug"), "log everything"),
        (("--tls",), "serve TCP over TLS"),
        (("--tlsverify",), "and let in only who has a certificate of ours"),
        (("--validate",), "check the configuration and end"),
    ):
        add(*names, nargs="?", const=True, type=_boolean, metavar="BOOL", help=text)
    add(
        "--recover",
        action="store_const",
        const=True,
        help="make state that cannot be trusted usable again, say what is dropped, and start",
    )
    add("-l", "--log-level", metavar="LEVEL", help=f"one of {', '.join(_LEVELS)} (default info)")
    add("--metrics-addr", dest="metrics_address", metavar="ADDRESS", help="serve metrics for Prometheus here")
    add(
        "--store",
        metavar="URL",
        help="keep the swarm's state in an etcd of your own, on every manager: etcd://HOST:PORT,HOST:PORT/PREFIX",
    )
    add("--store-cacert", metavar="FILE", help="whose signature its certificate has to bear; with all three it is TLS")
    add("--store-cert", metavar="FILE", help="what we show it")
    add("--store-key", metavar="FILE", help="the key of that")
    add("--tlscacert", metavar="FILE")
    add("--tlscert", metavar="FILE")
    add("--tlskey", metavar="FILE")
    add("-v", "--version", action="version", version=f"Shoal version {VERSION}")
    for name, takes_value in _IGNORED.items():
        if takes_value:
            add(f"--{name}", dest=f"ignored:{name}", action="append", help=argparse.SUPPRESS)
        else:
            add(f"--{name}", dest=f"ignored:{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    return parser


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    if not required and not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InvalidArgument(f"the configuration file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidArgument(f"unable to configure the daemon with file {path}: {error}") from error
    if not isinstance(content, dict):
        raise InvalidArgument(f"unable to configure the daemon with file {path}: it holds no JSON object")
    return content


# The file's keys are the flags' names, but for a few that dockerd writes in the plural.
_FILE_KEYS = {
    "hosts": "hosts", "data-root": "data_root", "exec-root": "exec_root", "pidfile": "pidfile",
    "containerd": "containerd", "bridge": "bridge", "bip": "bip", "mtu": "mtu", "labels": "labels", "dns": "dns",
    "default-address-pools": "default_address_pools", "registry-mirrors": "registry_mirrors",
    "insecure-registries": "insecure_registries", "cgroup-parent": "cgroup_parent", "group": "group",
    "debug": "debug", "log-level": "log_level", "metrics-addr": "metrics_address", "tls": "tls",
    "store": "store", "store-cacert": "store_cacert", "store-cert": "store_cert", "store-key": "store_key",
    "tlsverify": "tlsverify", "tlscacert": "tlscacert", "tlscert": "tlscert", "tlskey": "tlskey",
}  # fmt: skip
_FILE_ONLY = {"features", "runtimes", "builder", "log-opts", "exec-opts", "storage-opts", "default-ulimits", "cdi",
              "proxies", "authorization-plugins", "node-generic-resources", "dns-opts", "cdi-spec-dirs",
              "host-gateway-ips", "default-network-opts"}  # fmt: skip
_LEVELS = ("debug", "info", "warn", "error", "fatal")
# What the file's values are, where they are no text.
_LISTS = {"hosts", "labels", "registry_mirrors", "insecure_registries", "dns", "default_address_pools"}
_BOOLEANS = {"debug", "tls", "tlsverify"}


def _merge(flags: dict[str, Any], file: dict[str, Any]) -> dict[str, Any]:
    merged = dict(flags)
    for key, value in file.items():
        if (name := _FILE_KEYS.get(key)) is not None:
            if name in flags:
                raise InvalidArgument(
                    "unable to configure the daemon: the following directives are specified both as a flag and in the "
                    f"configuration file: {key}"
                )
            merged[name] = _typed(key, name, value)
        elif key in _IGNORED or key in _FILE_ONLY:
            merged.setdefault(f"ignored:{key}", value)
        else:
            raise InvalidArgument(f"the following directives don't match any configuration option: {key}")
    return merged


def _typed(key: str, name: str, value: Any) -> Any:
    """A value of the file, if it is what it has to be. Raises InvalidArgument."""
    if name in _LISTS:
        of = (str, dict) if name == "default_address_pools" else str
        right = isinstance(value, list) and all(isinstance(entry, of) for entry in value)
        wanted = "a list"
    elif name in _BOOLEANS:
        right, wanted = isinstance(value, bool), "true or false"
    elif name == "mtu":
        right, wanted = isinstance(value, int) and not isinstance(value, bool), "a number"
    else:
        right, wanted = isinstance(value, str), "a text"
    if not right:
        raise InvalidArgument(f"unable to configure the daemon: the directive {key} has to be {wanted}, not {value!r}")
    return value


def _config(values: dict[str, Any]) -> Config:
    notices = [
        f"{key.partition(':')[2]} has no meaning here and is ignored" for key in values if key.startswith("ignored:")
    ]
    wanted = {key: value for key, value in values.items() if not key.startswith("ignored:")}
    tls = TLS(
        enabled=bool(wanted.pop("tls", False)) or bool(wanted.get("tlsverify")),
        verify=bool(wanted.pop("tlsverify", False)),
        ca=Path(wanted.pop("tlscacert", TLS.ca)),
        cert=Path(wanted.pop("tlscert", TLS.cert)),
        key=Path(wanted.pop("tlskey", TLS.key)),
    )
    store = _store({key: wanted.pop(key, None) for key in ("store", "store_cacert", "store_cert", "store_key")})
    for key in ("data_root", "exec_root", "pidfile"):
        if key in wanted:
            wanted[key] = Path(wanted[key]).absolute()
    for key in ("hosts", "labels", "registry_mirrors", "insecure_registries", "dns"):
        if key in wanted:
            wanted[key] = tuple(wanted[key])
    if "default_address_pools" in wanted:
        wanted["default_address_pools"] = tuple(_pool(entry) for entry in wanted["default_address_pools"])
    for label in wanted.get("labels", ()):
        if "=" not in label:
            raise InvalidArgument(f"bad attribute format: {label}")
    _check(wanted)
    return Config(**wanted, tls=tls, store=store, notices=tuple(notices))


def _store(values: dict[str, Any]) -> OwnEtcd | None:
    files = [values[key] for key in ("store_cacert", "store_cert", "store_key")]
    if values["store"] is None:
        if any(files):
            raise InvalidArgument("--store-cacert, --store-cert and --store-key are for --store, which is missing")
        return None
    if any(files) and not all(files):
        raise InvalidArgument("an etcd is spoken to over TLS with all of --store-cacert, --store-cert and --store-key")
    tls = TLSFiles(*(Path(file).absolute() for file in files)) if all(files) else None
    return OwnEtcd(Address.parse(values["store"]), tls)


def _check(values: dict[str, Any]) -> None:
    """Raises InvalidArgument for settings that can't be, in dockerd's words where it has any."""
    for address in values.get("dns", ()):
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise InvalidArgument(f"{address} is not an ip address") from error
    if (level := values.get("log_level", "info")) not in _LEVELS:
        raise InvalidArgument(f"invalid logging level: {level}")
    mtu = values.get("mtu")
    if mtu is not None and not (mtu == 0 or 68 <= mtu <= 65535):
        raise InvalidArgument(f"invalid default MTU value: {mtu}")
    if bip := values.get("bip"):
        try:
            ipaddress.ip_interface(bip)
        except ValueError as error:
            raise InvalidArgument(f"invalid --bip {bip}: {error}") from error


def _pool(entry: Any) -> tuple[str, int]:
    parts = entry if isinstance(entry, dict) else dict(p.partition("=")[::2] for p in str(entry).split(","))
    try:
        network, size = ipaddress.ip_network(parts["base"]), int(parts["size"])
    except (KeyError, ValueError) as error:
        raise InvalidArgument(f"invalid default address pool {entry!r}: base=CIDR,size=N is expected") from error
    if not network.prefixlen <= size <= network.max_prefixlen:
        raise InvalidArgument(f"invalid default address pool {entry!r}: no /{size} fits into {network}")
    return str(network), size
