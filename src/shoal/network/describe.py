"""The description of a node's network: what is wanted, as items. Pure, and in parts that change apart from each other.

A part is the host (bridges, published ports, firewall), one overlay network's namespace, or one sandbox. Each item
belongs to exactly one part, so a change of one container is a difference of one part.
"""

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import ip_interface

from shoal.network import rules
from shoal.network.items import (
    HOST,
    Address,
    Bridge,
    FdbEntry,
    Item,
    Namespace,
    Neighbour,
    Route,
    Rule,
    Sysctl,
    Veth,
    Vxlan,
    table,
)
from shoal.network.node import (
    INGRESS_NETNS,
    BridgeNetwork,
    Endpoint,
    Mesh,
    NodeNetwork,
    OverlayNetwork,
    Sandbox,
    mac_of,
    mark_of,
    version_of,
)

HOST_PART = "host"
# The table of a mark's way back lies this far above the mark.
_TABLE_OF_MARK = 100
# From here on tables are the kernel's own (linux/rtnetlink.h), which a high mark keeps clear of.
_RESERVED_TABLES, _HIGH_TABLE_OF_MARK = 250, 1000
_ALIAS_BYTES = 255  # the kernel's IFALIASZ, less one


def overlay_part(network_id: str) -> str:
    """The part that an overlay network's namespace is."""
    return f"overlay/{network_id}"


def sandbox_part(sandbox_id: str) -> str:
    """The part that a sandbox is."""
    return f"sandbox/{sandbox_id}"


def parts(node: NodeNetwork) -> list[str]:
    """All parts that the node has now."""
    return [
        HOST_PART,
        *(overlay_part(network_id) for network_id in node.overlays),
        *(sandbox_part(sandbox_id) for sandbox_id in node.sandboxes),
    ]


def describe(node: NodeNetwork, part: str) -> list[Item]:
    """One part's items; none for a part that the node does not have (any more)."""
    kind, _, key = part.partition("/")
    if kind == HOST_PART:
        return list(_host(node))
    if kind == "overlay":
        overlay = node.overlays.get(key)
        return list(_overlay(node, overlay)) if overlay else []
    sandbox = node.sandboxes.get(key)
    return list(_sandbox(node, sandbox)) if sandbox else []


def outer_name(sandbox_id: str, network_id: str) -> str:
    """The host's end of a veth pair: ``veth`` and seven hex digits that follow from whose it is."""
    return "veth" + hashlib.sha256(f"{sandbox_id}/{network_id}".encode()).hexdigest()[:7]


def _mark(text: str) -> str:
    """The alias that says whose an item is, as long as the kernel takes it: names have no end."""
    return text.encode()[:_ALIAS_BYTES].decode(errors="ignore")


def _host(node: NodeNetwork) -> Iterator[Item]:
    if node.bridges:
        yield Sysctl(HOST, "net.ipv4.ip_forward", "1")
    for network in node.bridges.values():
        yield Bridge(
            HOST, network.bridge, network.mtu, _bridge_mac(network), _mark(f"{node.owner}: network {network.name}")
        )
        for gateway in network.gateways:
            yield Address(HOST, network.bridge, gateway)
        # 127.0.0.1:port is translated to an address behind the bridge, which the kernel holds to be a martian else.
        yield Sysctl(HOST, f"net/ipv4/conf/{network.bridge}/route_localnet", "1")
        # What is routed back into the bridge it came from has to be: isolated ports don't reach each other.
        yield Sysctl(HOST, f"net/ipv4/conf/{network.bridge}/send_redirects", "0")
    for family, body in rules.host(node).items():
        yield table(HOST, family, node.owner, body)


def _bridge_mac(network: BridgeNetwork) -> str | None:
    return mac_of(network.gateways[0]) if network.gateways else None


def _overlay(node: NodeNetwork, network: OverlayNetwork) -> Iterator[Item]:
    ns, alias = network.netns, _mark(f"{node.owner}: network {network.name}")
    yield Namespace(ns, alias)
    yield _ipv6(ns, network.gateways)
    yield Bridge(ns, "br0", network.mtu, mac_of(network.gateways[0]) if network.gateways else None, alias)
    for gateway in network.gateways:
        yield Address(ns, "br0", gateway)
    yield Vxlan(ns, "vxlan0", network.vni, network.port, network.mtu, alias, "br0")
    for remote in node.remotes.get(network.network_id, ()):
        ip, mac = str(ip_interface(remote.address).ip), mac_of(remote.address)
        yield Neighbour(ns, "vxlan0", ip, mac)
        yield FdbEntry(ns, "vxlan0", mac, remote.vtep)


def _sandbox(node: NodeNetwork, sandbox: Sandbox) -> Iterator[Item]:
    ns, owner = sandbox.netns, _mark(f"{node.owner}: {sandbox.owner}")
    yield Namespace(ns, owner)
    yield _ipv6(ns, [address for endpoint in sandbox.endpoints for address in endpoint.addresses])
    # A network may be gone before its last endpoint: there is nothing to plug that into.
    plugged = [e for e in sandbox.endpoints if e.network_id in node.overlays or e.network_id in node.bridges]
    for endpoint in plugged:
        yield from _endpoint(node, sandbox, endpoint, owner)
    default_families = set()
    for endpoint in plugged:
        for gateway in endpoint.gateways:
            version = version_of(gateway)
            if version not in default_families:
                default_families.add(version)
                yield Route(ns, "0.0.0.0/0" if version == 4 else "::/0", gateway, endpoint.interface)
    if node.mesh is not None and (sandbox.on_mesh or sandbox.netns == INGRESS_NETNS):
        # Packets come in on one interface and leave by another, and come from addresses that no route leads to.
        yield Sysctl(ns, "net.ipv4.conf.all.rp_filter", "0")
        yield Sysctl(ns, "net.ipv4.conf.default.rp_filter", "0")
        for endpoint in plugged:
            yield Sysctl(ns, f"net.ipv4.conf.{endpoint.interface}.rp_filter", "0")
    if node.mesh is not None and sandbox.on_mesh:
        yield from _ways_back(ns, plugged, node.mesh)
    if sandbox.netns == INGRESS_NETNS:
        yield Sysctl(ns, "net.ipv4.ip_forward", "1")
    for family, body in rules.sandbox(node, sandbox).items():
        yield table(ns, family, node.owner, body)


def _ipv6(ns: str, addresses: Iterable[str]) -> Sysctl:
    """IPv6 is off where no network has it: its link-local addresses would only be one more thing to wonder about."""
    has_any = any(version_of(address) == 6 for address in addresses)
    return Sysctl(ns, "net.ipv6.conf.all.disable_ipv6", "0" if has_any else "1")


def _endpoint(node: NodeNetwork, sandbox: Sandbox, endpoint: Endpoint, owner: str) -> Iterator[Item]:
    ns, inner = sandbox.netns, endpoint.interface
    overlay, bridge = node.overlays.get(endpoint.network_id), node.bridges.get(endpoint.network_id)
    if overlay is not None:
        hub, outer, master, mtu, isolated = overlay.netns, f"veth{endpoint.hub_port}", "br0", overlay.mtu, False
        hairpin = False
    elif bridge is not None:
        hub, outer = HOST, outer_name(sandbox.sandbox_id, endpoint.network_id)
        # Where br_netfilter is on (Docker and Kubernetes turn it on), a packet to a published port is translated
        # within the bridge and goes straight to the ingress sandbox's port: that one must not be cut off.
        master, mtu, isolated = bridge.bridge, bridge.mtu, not bridge.icc and ns != INGRESS_NETNS
        # And for the same reason a sandbox that calls its own published port gets its packets back by the same port.
        hairpin = bool(sandbox.publications)
    else:
        return
    outer_owner = _mark(f"{owner} {inner}")
    yield Veth(hub, outer, ns, inner, mtu, None, outer_owner, master, isolated, hairpin)
    yield Veth(ns, inner, hub, outer, mtu, endpoint.mac, owner)
    for address in endpoint.addresses:
        yield Address(ns, inner, address)


def _ways_back(ns: str, endpoints: Iterable[Endpoint], mesh: Mesh) -> Iterator[Item]:
    endpoint = next((e for e in endpoints if e.network_id == mesh.network_id), None)
    if endpoint is None:
        return
    versions = {version_of(address) for address in endpoint.addresses}
    for router in mesh.routers:
        address = ip_interface(router)
        if address.version not in versions:
            continue
        mark = mark_of(router)
        table = mark + (_TABLE_OF_MARK if mark + _TABLE_OF_MARK < _RESERVED_TABLES else _HIGH_TABLE_OF_MARK)
        yield Rule(ns, address.version, mark, table)
        default = "0.0.0.0/0" if address.version == 4 else "::/0"
        yield Route(ns, default, str(address.ip), endpoint.interface, table)
