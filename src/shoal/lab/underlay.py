"""The wires between the hosts: a bridge in a network namespace of its own, a port a host, and one to this machine.

    shoal-lab-<lab> (namespace)          here
    br0 ─ node1 ↔ eth0 in node1
        ─ node2 ↔ eth0 in node2
        ─ outside ──────────────↔ lab-<lab>

Frames are lost and cut off by nft on their way through the bridge, so both ends keep their carrier. Latency is netem's
(tc-netem(8)) on each host's port, towards the host, so that a frame from one host to another is delayed once; where the
kernel has no netem, each wire is a pair of TAP devices with a program between them that does the same.
"""

import ipaddress
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from shoal.errors import Internal, NotFound, Unavailable
from shoal.kernel import changes, netns
from shoal.kernel.netlink import Netlink
from shoal.kernel.nftables import Nftables, delete_table
from shoal.lab import delay
from shoal.lab.cgroups import Cgroup
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
        self._programs = Cgroup(f"/shoal-lab-{state.name}-underlay")
        self.link = f"lab-{state.name}"

    @property
    def namespace(self) -> Path:
        """The namespace with the bridge, which ``ip netns`` knows too."""
        return netns.BASE / self._name

    @property
    def is_taken(self) -> bool:
        """Whether its names are somebody's before it is made."""
        with _socket(None) as here:
            return netns.exists(self._name) or here.link(self.link) is not None

    def make(self) -> None:
        """Make the namespace, the bridge and the way in from here. Raises Conflict when the link's name is taken."""
        if not netns.exists(self._name):
            netns.create(self._name)
        with _socket(self.namespace) as inside, _socket(None) as here, netns.opened(netns.HOST) as home:
            if inside.link(_BRIDGE) is None:
                inside.apply([changes.add_bridge(_BRIDGE, mtu=self._state.mtu), changes.set_link(_BRIDGE, up=True)])
            if inside.link(_OUTSIDE) is None:
                inside.apply([changes.add_veth(_OUTSIDE, self.link, mtu=self._state.mtu, peer_ns_fd=home)])
                self._plug(inside, _OUTSIDE)
                _give(here, self.link, self._state.outside, self._state)

    def connect(self, host: HostState, pid: int) -> None:
        """Give the host whose process 1 is ``pid`` its eth0, its address and its way out.

        Raises Unavailable for a latency that this machine cannot make.
        """
        theirs = Path(f"/proc/{pid}/ns/net")
        self.disconnect(host)
        with _socket(self.namespace) as inside, _socket(theirs) as there, netns.opened(theirs) as home:
            self._lay(host, inside, home)
            self._plug(inside, host.name)
            there.apply([changes.set_link("lo", up=True)])
            _give(there, "eth0", host.address, self._state)
            everywhere, outside = ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv4Address(self._state.outside)
            there.apply([changes.replace_route(changes.route(everywhere, gateway=outside, index=there.index("eth0")))])

    def _lay(self, host: HostState, inside: Netlink, home: int) -> None:
        """The wire: a port here, eth0 there."""
        mtu, mac = self._state.mtu, _mac(host)
        if not self._state.latency or self._has_netem():
            inside.apply([changes.add_veth(host.name, "eth0", mtu=mtu, peer_mac=mac, peer_ns_fd=home)])
            if self._state.latency:
                netem = ("netem", "limit", str(_HELD), "delay", f"{self._state.latency // 1000}us")
                self._run("tc", "qdisc", "replace", "dev", host.name, "root", *netem)
            return
        end = f"{host.name}-end"
        self._relay(host.name, end)
        inside.apply(
            [
                changes.set_link(host.name, mtu=mtu),
                changes.set_link(end, mtu=mtu, mac=mac),
                changes.set_link(inside.index(end), name="eth0", ns_fd=home),
            ]
        )

    def _relay(self, port: str, end: str) -> None:
        """Have a program make these two links and delay what goes from one to the other, as long as both are there."""
        self._programs.make()
        program = [sys.executable, "-I", "-S", delay.__file__, port, end, str(self._state.latency)]
        command = ["setsid", "--fork", "nsenter", f"--net={self.namespace}", *program]
        with subprocess.Popen(
            self._programs.joining(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
        ) as process:
            assert process.stdout is not None
            if (said := process.stdout.readline()) != "ready\n":
                said += process.stdout.read()
                raise Unavailable(f"--latency needs the kernel's netem (module sch_netem), or TAP: {said.strip()}")

    def _has_netem(self) -> bool:
        # The namespace's own lo is nobody's.
        return self._run("tc", "qdisc", "replace", "dev", "lo", "root", "netem", check=False)

    def _run(self, *command: str, check: bool = True) -> bool:
        """Run a program in the namespace; whether it succeeded. With ``check``, raises Internal if not."""
        command = ("nsenter", f"--net={self.namespace}", *command)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise Internal(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.returncode == 0

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
        if netns.exists(self._name):
            with _socket(self.namespace) as inside:
                if inside.link(_OUTSIDE) is not None:
                    inside.apply([changes.del_link(_OUTSIDE)])  # at once; the rest goes when the kernel finds time
        self._programs.end()
        netns.delete(self._name)

    def _plug(self, inside: Netlink, port: str) -> None:
        inside.apply([changes.set_link(port, master=inside.index(_BRIDGE), up=True)])


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


def _mac(host: HostState) -> str:
    """A machine keeps its address when it boots, so its neighbours need not learn anything anew."""
    return "02:53:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(host.address).packed)


def _give(socket: Netlink, link: str, address: str, state: LabState) -> None:
    """An address on a link, which goes up."""
    length = ipaddress.IPv4Network(state.subnet).prefixlen
    own = ipaddress.IPv4Interface(f"{address}/{length}")
    socket.apply([changes.add_address(socket.index(link), own), changes.set_link(link, up=True)])


def _socket(path: Path | None) -> closing[Netlink]:
    """A netlink socket in a namespace (None: this one), for a block."""
    return closing(Netlink.open(path))
