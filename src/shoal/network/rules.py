"""The nft tables of the host, of the ingress sandbox and of each container's sandbox, as text that people can read.

One table a family and namespace, named after the owner. Address translation happens where a connection starts: the
host and the ingress sandbox for published ports, the asking sandbox for VIPs (``docs/ARCHITECTURE.md`` follows a
packet through them).
"""

import ipaddress
from collections.abc import Iterable, Sequence

from shoal.network.node import (
    INGRESS_NETNS,
    Endpoint,
    Mesh,
    NodeNetwork,
    Publication,
    Sandbox,
    VirtualService,
    mac_of,
    mark_of,
    version_of,
)

_FAMILIES = {4: "ip", 6: "ip6"}
# Neither end of a connection sends segments that the link in between cannot take, whatever becomes of ICMP on the way.
_CLAMP = "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"


def host(node: NodeNetwork) -> dict[str, str]:
    """The host's tables, by family: published ports, masquerading, and who may forward to whom."""
    if not node.bridges:
        return {}
    publications = [*_mesh_publications(node)]
    publications += [p for sandbox in node.sandboxes.values() for p in sandbox.publications]
    chains = [
        _published(publications),
        _chain("prerouting", "nat", "prerouting", "dstnat", ["fib daddr type local jump published"]),
        _chain("output", "nat", "output", "-100", ["fib daddr type local jump published"]),
        _chain("postrouting", "nat", "postrouting", "srcnat", _masquerading(node)),
        # 127.0.0.1 can be routed to the bridges, so that published ports answer there; not the other way round.
        _chain("guard", "filter", "prerouting", "raw", [f"iifname {_bridges(node)} ip daddr 127.0.0.0/8 drop"]),
        _chain("forward", "filter", "forward", "filter", _forwarding(node)),
        _chain("clamp", "filter", "forward", "mangle", [_CLAMP]),
    ]
    return {"ip": "".join(chains)}


def _bridges(node: NodeNetwork) -> str:
    return _set(f'"{network.bridge}"' for network in node.bridges.values())


def _mesh_publications(node: NodeNetwork) -> Iterable[Publication]:
    router = ingress_router(node)
    if node.mesh is None or router is None:
        return
    for port in node.mesh.ports:
        yield Publication(port.protocol, port.published, router, port.published)


def ingress_router(node: NodeNetwork) -> str | None:
    """The ingress sandbox's address on the host's side, where published ports lead to."""
    sandbox = next((s for s in node.sandboxes.values() if s.netns == INGRESS_NETNS), None)
    if sandbox is None:
        return None
    outside = [e for e in sandbox.endpoints if e.network_id in node.bridges]
    return str(ipaddress.ip_interface(outside[0].addresses[0]).ip) if outside else None


def _published(publications: Sequence[Publication]) -> str:
    lines: list[str] = []
    for p in sorted(publications, key=lambda p: (p.host_ip is None, p.protocol, p.host_port)):
        if ":" in p.target or (p.host_ip and ":" in p.host_ip):
            continue
        where = f"ip daddr {p.host_ip} " if p.host_ip else ""
        lines.append(f"{where}{p.protocol} dport {p.host_port} dnat to {p.target}:{p.target_port}")
    return _plain_chain("published", lines)


def _masquerading(node: NodeNetwork) -> list[str]:
    lines: list[str] = []
    source = node.mesh.host_address if node.mesh else None
    for network in node.bridges.values():
        own = f"snat to {source}" if source and ":" not in source else "masquerade"
        lines.append(f'oifname "{network.bridge}" ip saddr 127.0.0.0/8 {own}')
        for gateway in _of_version(network.gateways, 4):
            subnet = ipaddress.ip_interface(gateway).network
            # Back into the network it came from, by way of a published port: the answer has to come by here too.
            lines.append(f"ip saddr {subnet} ip daddr {subnet} ct status dnat masquerade")
            if network.masquerade and not network.internal:
                lines.append(f'ip saddr {subnet} oifname != "{network.bridge}" masquerade')
    return lines


def _forwarding(node: NodeNetwork) -> list[str]:
    bridges = _bridges(node)
    lines = [
        "ct state established,related accept",
        "ct status dnat accept",
    ]
    for network in node.bridges.values():
        if network.internal:
            lines.append(f'iifname "{network.bridge}" oifname != "{network.bridge}" drop')
            lines.append(f'oifname "{network.bridge}" iifname != "{network.bridge}" drop')
    # Networks are apart from each other, and reached from outside through published ports only.
    lines += [f'iifname "{n.bridge}" oifname "{n.bridge}" accept' for n in node.bridges.values()]
    lines.append(f"oifname {bridges} drop")
    return lines


def sandbox(node: NodeNetwork, sandbox: Sandbox) -> dict[str, str]:
    """A sandbox's tables, by family; most have none."""
    if sandbox.netns == INGRESS_NETNS:
        return _ingress(node)
    bodies: dict[str, str] = {}
    services = [
        service
        for endpoint in sandbox.endpoints
        if node.mesh is None or endpoint.network_id != node.mesh.network_id
        for service in node.services.get(endpoint.network_id, ())
    ]
    for version, family in _FAMILIES.items():
        virtual = [s for s in services if version_of(s.vip) == version]
        names = _names(sandbox.dns) if version == 4 and sandbox.dns else []
        body = _translation(virtual, version, names) if virtual or names else ""
        if node.mesh is not None and sandbox.on_mesh:
            body += _marks(node.mesh, sandbox.endpoints, version)
        if body:
            bodies[family] = body
    return bodies


def _ingress(node: NodeNetwork) -> dict[str, str]:
    if node.mesh is None:
        return {}
    chains: list[str] = []
    jumps: list[str] = []
    for port in sorted(node.mesh.ports, key=lambda p: (p.protocol, p.published)):
        name = f"{port.protocol}-{port.published}"
        backends = _of_version(port.backends, 4)
        if backends:
            line = f'meta l4proto {port.protocol} {_spread(backends)} : {port.target} comment "{port.service}"'
            chains.append(_plain_chain(name, [line]))
            jumps.append(f"{port.protocol} . {port.published} : jump {name}")
    if not jumps:
        return {}
    way_in = [f"meta l4proto . th dport vmap {_set(jumps)}"]
    chains.append(_chain("prerouting", "nat", "prerouting", "dstnat", way_in))
    chains.append(_chain("clamp", "filter", "forward", "mangle", [_CLAMP]))
    return {"ip": "".join(chains)}


def _names(ports: tuple[int, int]) -> list[str]:
    """Port 53 itself may be the container's own, on all of its addresses, so names are answered on another."""
    return [
        f"ip daddr 127.0.0.11 {protocol} dport 53 dnat to 127.0.0.11:{port}"
        for protocol, port in zip(("udp", "tcp"), ports, strict=True)
    ]


def _translation(services: Sequence[VirtualService], version: int, names: Sequence[str]) -> str:
    """What is translated on its way out of a sandbox: questions for names, and VIPs.

    Each new connection to a VIP goes to the next backend; a VIP with none refuses; all answer ping.
    """
    if not services:
        return _chain("output", "nat", "output", "-100", names)
    word = _FAMILIES[version]
    chains: list[str] = []
    jumps: list[str] = []
    for service in sorted(services, key=lambda s: (s.name, s.vip)):
        name = f"service-{service.name}-{len(chains)}"
        backends = _of_version(service.backends, version)
        if backends:
            chains.append(_plain_chain(name, [_spread(backends)]))
            jumps.append(f"{service.vip} : jump {name}")
    vips = _set(sorted({s.vip for s in services}))
    echo = "icmp type echo-request" if version == 4 else "icmpv6 type echo-request"
    translate = [*names, f"{word} daddr {vips} {echo} redirect"]
    if jumps:
        translate.append(f"{word} daddr vmap {_set(jumps)}")
    refuse = [f"{word} daddr {vips} meta l4proto tcp reject with tcp reset", f"{word} daddr {vips} reject"]
    return (
        "".join(chains)
        + _chain("output", "nat", "output", "-100", translate)
        + _chain("refuse", "filter", "output", "filter", refuse)
    )


def _marks(mesh: Mesh, endpoints: Iterable[Endpoint], version: int) -> str:
    """Connections remember which ingress sandbox they came through, and their replies go back through it."""
    interface = next((e.interface for e in endpoints if e.network_id == mesh.network_id), None)
    via = [f"{mac_of(router)} : {mark_of(router)}" for router in mesh.routers if version_of(router) == version]
    if interface is None or not via:
        return ""
    remember = [f'iifname "{interface}" ct state new ct mark set ether saddr map {_set(via)}']
    return _chain("remember", "filter", "prerouting", "mangle", remember) + _chain(
        "reply", "route", "output", "mangle", ["ct mark != 0 meta mark set ct mark"]
    )


def _spread(backends: Sequence[str]) -> str:
    if len(backends) == 1:
        return f"dnat to {backends[0]}"
    return f"dnat to numgen inc mod {len(backends)} map {_set(f'{i} : {b}' for i, b in enumerate(backends))}"


def _of_version(addresses: Iterable[str], version: int) -> list[str]:
    return [address for address in addresses if version_of(address) == version]


def _set(elements: Iterable[str]) -> str:
    return f"{{ {', '.join(elements)} }}"


def _plain_chain(name: str, lines: Iterable[str]) -> str:
    return "\tchain " + name + " {\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t}\n"


def _chain(name: str, kind: str, hook: str, priority: str, lines: Sequence[str]) -> str:
    head = f"type {kind} hook {hook} priority {priority}; policy accept;"
    return _plain_chain(name, [head, *lines])
