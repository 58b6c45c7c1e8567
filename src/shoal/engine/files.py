"""The files that a container finds in /etc because of where it is: hostname, hosts and resolv.conf."""

import ipaddress
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from shoal.objects.container import Container, Sandbox
from shoal.wire.keeper import Upstream

DNS_ADDRESS = "127.0.0.11"
_HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class HostResolver:
    """The host's /etc/resolv.conf: read anew each time, since DHCP and VPNs rewrite it."""

    def __init__(self, path: Path = Path("/etc/resolv.conf"), dns: Sequence[str] = ()) -> None:
        self._path = path
        self._dns = dns

    def upstreams(self, dns: Sequence[str] = ()) -> tuple[Upstream, ...]:
        """The resolvers to forward to: the container's own, else the daemon's (``--dns``), else the host's."""
        return tuple(
            Upstream(address) for address in (dns or self._dns or self._values("nameserver")) if is_address(address)
        )

    def search(self) -> list[str]:
        """The host's search domains; the last line counts, as in resolv.conf(5)."""
        lines = [line.split()[1:] for line in self._lines() if line.split()[:1] in (["search"], ["domain"])]
        return lines[-1] if lines else []

    def text(self) -> str:
        """The whole file, for containers that share the host's view; loopback resolvers are of no use to others."""
        return "".join(f"{line}\n" for line in self._lines())

    def without_loopback(self) -> str:
        """As :meth:`text`, less the resolvers on loopback addresses, which a container cannot reach."""
        kept = []
        for line in self._lines():
            words = line.split()
            if words[:1] == ["nameserver"]:
                address = "".join(words[1:2])
                if not is_address(address) or ipaddress.ip_address(address).is_loopback:
                    continue
            kept.append(line)
        return "".join(f"{line}\n" for line in kept)

    def _values(self, key: str) -> list[str]:
        return [words[1] for line in self._lines() if len(words := line.split()) > 1 and words[0] == key]

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(errors="replace").splitlines()
        except OSError:
            return []


def is_address(text: str) -> bool:
    """Whether it is an IP address, of either family."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def hosts(container: Container, sandbox: Sandbox | None) -> str:
    """/etc/hosts: localhost, what ``--add-host`` says, and the container's own name at each of its addresses."""
    lines = [_HOSTS]
    for entry in container.host_config.extra_hosts or []:
        name, _, address = entry.replace("=", ":", 1).partition(":")
        if address == "host-gateway":
            address = next((g for e in (sandbox.endpoints if sandbox else []) for g in e.gateways), "")
        if address:
            lines.append(f"{address}\t{name}\n")
    names = [container.config.hostname]
    if container.config.domainname:
        names.insert(0, f"{container.config.hostname}.{container.config.domainname}")
    for address in own_addresses(sandbox):
        lines.append(f"{address}\t{' '.join(names)}\n")
    return "".join(lines)


def own_addresses(sandbox: Sandbox | None) -> Iterable[str]:
    """The addresses that a container is known by: not the ones on its mere way out."""
    endpoints = sandbox.endpoints if sandbox else []
    known = [e for e in endpoints if e.network_name not in ("docker_gwbridge", "ingress")] or endpoints[:1]
    return [str(ipaddress.ip_interface(a).ip) for endpoint in known for a in endpoint.addresses]


def resolv_conf(container: Container, resolver: HostResolver, *, embedded: bool) -> str:
    """/etc/resolv.conf: our own resolver where names are known to it, else the host's or the container's own."""
    host = container.host_config
    search = host.dns_search or resolver.search()
    options = host.dns_options or []
    if embedded:
        lines = [f"nameserver {DNS_ADDRESS}"]
        options = options or ["ndots:0"]
    elif host.dns or host.dns_search or host.dns_options:
        lines = [f"nameserver {address}" for address in host.dns or []]
        lines = lines or [line for line in resolver.without_loopback().splitlines() if line.startswith("nameserver")]
    else:
        return resolver.text() if host.network_mode == "host" else resolver.without_loopback()
    if search and search != ["."]:
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "\n".join(lines) + "\n"


def write(folder: Path, *, hostname: str, hosts_text: str, resolv: str) -> None:
    """Put the three files into the container's folder; a thread's work."""
    folder.mkdir(mode=0o710, parents=True, exist_ok=True)
    for name, text in (("hostname", f"{hostname}\n"), ("hosts", hosts_text), ("resolv.conf", resolv)):
        path = folder / name
        # In place, not by renaming: the container has this very file mounted. And not emptied first, since the disk may
        # have no room for more than what is there.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode())
            file.truncate()
