"""The wires between the hosts: a bridge in a network namespace of its own, a port a host, and one to this machine.

    shoal-lab-<lab> (namespace)          here
    br0 ─ node1 ↔ eth0 in node1
        ─ node2 ↔ eth0 in node2
        ─ outside ──────────────↔ lab-<lab>

Frames are lost and cut off by nft on their way through the bridge, so both ends keep their carrier; latency is netem's
(tc-netem(8)) on each host's port, towards the host, so that a frame from one host to another is delayed once.
"""

import ipaddress
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from shoal.errors import Conflict, NotFound, Unavailable
from shoal.kernel import changes, netns
from shoal.kernel.netlink import Netlink
from shoal.kernel.nftables import Nftables, delete_table
from shoal.lab.state import EVERYBODY, Cut, HostState, LabState

_BRIDGE, _OUTSIDE = "br0", "outside"
_TABLE = "shoal_lab"
# Frames that netem holds at a time: enough for 10 Gbit/s over 100 ms in full frames.
_HELD = 100_000


class Underlay:
    """A lab's wires. What is there already is left as it is, what is gone already is no error."""

    def __init__(self, state: LabState) -> None:
        self._state = state
        self._name = f"shoal-lab-{state.name}"
        self.link = f"lab-{state.name}"

    @property
    def namespace(self) -> Path:
        """The namespace with the bridge, which ``ip netns`` knows too."""
        return netns.BASE / self._name

    def make(self) -> None:
        """Make the namespace, the bridge and the way in from here. Raises Conflict when the link's name is taken."""
        if not netns.exists(self._name):
            netns.create(self._name)
        with _socket(self.namespace) as inside, _socket(None) as here, netns.opened(netns.HOST) as home:
            if inside.link(_BRIDGE) is None:
                inside.apply([changes.add_bridge(_BRIDGE, mtu=self._state.mtu), changes.set_link(_BRIDGE, up=True)])
            if inside.link(_OUTSIDE) is None:
                if here.link(self.link) is not None:
                    raise Conflict(f"there is a link {self.link} here that belongs to nobody's lab: remove it first")
                inside.apply([changes.add_veth(_OUTSIDE, self.link, mtu=self._state.mtu, peer_ns_fd=home)])
                self._plug(inside, _OUTSIDE)
                _give(here, self.link, self._state.outside, self._state)
        self.set_cuts(self._state.cuts)

    def connect(self, host: HostState, pid: int) -> None:
        """Give the host whose process 1 is ``pid`` its eth0, its address and its way out.

        Raises Unavailable for a latency where the kernel has no netem.
        """
        theirs = Path(f"/proc/{pid}/ns/net")
        address = ipaddress.IPv4Address(host.address)
        # A machine keeps its address when it boots, so its neighbours need not learn anything anew.
        mac = "02:53:" + ":".join(f"{byte:02x}" for byte in address.packed)
        self.disconnect(host)
        with _socket(self.namespace) as inside, _socket(theirs) as there, netns.opened(theirs) as home:
            inside.apply([changes.add_veth(host.name, "eth0", mtu=self._state.mtu, peer_mac=mac, peer_ns_fd=home)])
            if self._state.latency:
                self._delay(host.name)
            self._plug(inside, host.name)
            there.apply([changes.set_link("lo", up=True)])
            _give(there, "eth0", host.address, self._state)
            everywhere, outside = ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv4Address(self._state.outside)
            there.apply([changes.replace_route(changes.route(everywhere, gateway=outside, index=there.index("eth0")))])

    def disconnect(self, host: HostState) -> None:
        """Pull the host's wire out: both ends are gone at once."""
        try:
            with _socket(self.namespace) as inside:
                if inside.link(host.name) is not None:
                    inside.apply([changes.del_link(host.name)])
        except NotFound:
            return

    def set_cuts(self, cuts: Sequence[Cut]) -> None:
        """Let exactly these frames vanish, from now on; and those that the lab loses anyway."""
        with closing(Nftables.open(self.namespace)) as nft:
            nft.run(ruleset(cuts, self._state.loss))

    def delete(self) -> None:
        """Remove all of it; the hosts must be off."""
        with _socket(None) as here:
            if here.link(self.link) is not None:
                here.apply([changes.del_link(self.link)])
        netns.delete(self._name)

    def _plug(self, inside: Netlink, port: str) -> None:
        inside.apply([changes.set_link(port, master=inside.index(_BRIDGE), up=True)])

    def _delay(self, port: str) -> None:
        netem = ["netem", "limit", str(_HELD), "delay", f"{self._state.latency // 1000}us"]
        command = ["nsenter", f"--net={self.namespace}", "tc", "qdisc", "replace", "dev", port, "root", *netem]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(
                f"--latency needs the kernel's netem (CONFIG_NET_SCH_NETEM, module sch_netem): {done.stderr.strip()}"
            )


def ruleset(cuts: Sequence[Cut], loss: float) -> str:
    """The nft script that replaces all rules of the bridge by these; ``loss`` in percent."""
    rules = []
    for one, other in cuts:
        if other == EVERYBODY:
            rules += [f'iifname "{one}" drop', f'oifname "{one}" drop']
        else:
            rules += [f'iifname "{a}" oifname "{b}" drop' for a, b in ((one, other), (other, one))]
    if loss:
        rules.append(f"numgen random mod 1000000 < {round(loss * 10_000)} drop")
    chain = "; ".join(["type filter hook forward priority 0", *rules])
    return f"{delete_table('bridge', _TABLE)}table bridge {_TABLE} {{ chain forward {{ {chain}; }}; }}\n"


def _give(socket: Netlink, link: str, address: str, state: LabState) -> None:
    """An address on a link, which goes up."""
    length = ipaddress.IPv4Network(state.subnet).prefixlen
    own = ipaddress.IPv4Interface(f"{address}/{length}")
    socket.apply([changes.add_address(socket.index(link), own), changes.set_link(link, up=True)])


def _socket(path: Path | None) -> closing[Netlink]:
    """A netlink socket in a namespace (None: this one), for a block."""
    return closing(Netlink.open(path))
