"""What a lab is to be, as its JSON file says: its hosts, their addresses, what the underlay does to frames."""

import fcntl
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from shoal.durable import files
from shoal.errors import Conflict, Damaged, InvalidArgument, NotFound
from shoal.objects.defaults import LEAST_MTU

ROOT = Path("/var/lib/shoal-lab")
FILE = "lab.json"
EVERYBODY = "*"
POOL = ipaddress.IPv4Network("192.168.0.0/16")
# Home routers and other virtual machines are at the pool's beginning.
_FIRST = 100
# With "lab-" in front it is a link's name, which has 15 bytes.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,10}")
_MOST_HOSTS = 250
_MOST_MTU = 65535
# A unix socket's path has at most 107 bytes; the longest name below the lab's folder is the host's socket.
_LONGEST_FOLDER = 107 - len("/node250/docker.sock")

Cut = tuple[str, str]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What ``up`` is asked for. ``latency`` is nanoseconds one way, ``loss`` percent; no managers, no swarm."""

    count: int
    managers: int = 1
    latency: int = 0
    loss: float = 0.0
    mtu: int = 1500
    name: str = "lab"
    subnet: str = ""
    images: tuple[Path, ...] = ()
    flags: tuple[str, ...] = ()
    root: Path = ROOT


class HostState(msgspec.Struct, frozen=True):
    """A host: its name is its hostname, its folder's and its port's on the bridge."""

    name: str
    address: str


class LabState(msgspec.Struct, frozen=True, kw_only=True):
    """A lab. ``outside`` is the address of the machine that the lab is on; ``cuts`` are pairs of hosts, or a host and
    :data:`EVERYBODY`; ``flags`` are shoald's."""

    name: str
    subnet: str
    outside: str
    hosts: tuple[HostState, ...]
    managers: int
    latency: int
    loss: float
    mtu: int
    flags: tuple[str, ...] = ()
    cuts: tuple[Cut, ...] = ()


def plan(wish: Wish, taken: Iterable[ipaddress.IPv4Network]) -> LabState:
    """What to make of a wish that was checked. ``taken`` are the networks that the machine has routes to.

    Raises InvalidArgument or Conflict for its subnet.
    """
    subnet = _subnet(wish.subnet, list(taken), wish.count)
    numbers = list(range(1, wish.count + 1))
    return LabState(
        name=wish.name,
        subnet=str(subnet),
        outside=str(subnet.broadcast_address - 1),
        hosts=tuple(HostState(f"node{number}", str(subnet.network_address + number)) for number in numbers),
        managers=wish.managers,
        latency=wish.latency,
        loss=wish.loss,
        mtu=wish.mtu,
        flags=wish.flags,
    )


def check(wish: Wish) -> None:
    """Refuse what can never work. Raises InvalidArgument."""
    if not _NAME.fullmatch(wish.name):
        raise InvalidArgument(
            f"invalid name for a lab: {wish.name!r}: up to 11 of a-z, 0-9 and -, no - at its beginning"
        )
    if not 1 <= wish.count <= _MOST_HOSTS:
        raise InvalidArgument(f"a lab has 1 to {_MOST_HOSTS} hosts, not {wish.count}")
    if not 0 <= wish.managers <= wish.count:
        raise InvalidArgument(f"of {wish.count} hosts, 0 to {wish.count} can be managers, not {wish.managers}")
    if not 0 <= wish.loss <= 100:
        raise InvalidArgument(f"a loss is 0% to 100%, not {wish.loss:g}%")
    if wish.latency < 0:
        raise InvalidArgument("a latency cannot be negative")
    if not LEAST_MTU <= wish.mtu <= _MOST_MTU:
        raise InvalidArgument(f"an MTU is {LEAST_MTU} to {_MOST_MTU} bytes, not {wish.mtu}")
    folder = folder_of(wish.root, wish.name)
    if any(folder.is_relative_to(place) for place in ("/run", "/var/run", "/sys", "/proc")):
        raise InvalidArgument(f"a lab cannot be in {wish.root}: each host has a /run, /sys and /proc of its own")
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        raise InvalidArgument(f"{wish.root} is too long a path for the hosts' sockets: choose a shorter --root")
    for image in wish.images:
        if not image.is_file():
            raise InvalidArgument(f"open {image}: no such file or directory")


def _subnet(asked: str, taken: Sequence[ipaddress.IPv4Network], count: int) -> ipaddress.IPv4Network:
    if asked:
        try:
            subnet = ipaddress.IPv4Network(asked)
        except ValueError as error:
            raise InvalidArgument(f"invalid subnet {asked!r}: {error}") from error
        if subnet.num_addresses < count + 3:
            raise InvalidArgument(f"{subnet} has no room for {count} hosts and this machine")
        if found := next((network for network in taken if network.overlaps(subnet)), None):
            raise Conflict(f"{subnet} overlaps {found}, which is in use here: choose another --subnet, or none")
        return subnet
    pool = list(POOL.subnets(new_prefix=24))
    for free in (*pool[_FIRST:], *pool[:_FIRST]):
        if not any(network.overlaps(free) for network in taken):
            return free
    raise Conflict(f"no /24 of {POOL} is free here: choose a --subnet")


def with_cut(cuts: Sequence[Cut], one: str, other: str) -> tuple[Cut, ...]:
    """The cuts with one more, between two hosts or a host and :data:`EVERYBODY`."""
    return tuple(sorted({*cuts, _pair(one, other)}))


def without_cut(cuts: Sequence[Cut], one: str, other: str) -> tuple[Cut, ...]:
    """The cuts without that one; for :data:`EVERYBODY` without any that the host has part in. Raises Conflict for a
    pair of which one is cut off from everybody, which stays so."""
    if other == EVERYBODY:
        return tuple(cut for cut in cuts if one not in cut)
    for name in (one, other):
        if _pair(name, EVERYBODY) in cuts:
            raise Conflict(f"{name} is cut off from everybody: shoal lab heal {name}")
    return tuple(cut for cut in cuts if cut != _pair(one, other))


def _pair(one: str, other: str) -> Cut:
    if other == EVERYBODY:
        return one, other
    return (one, other) if one <= other else (other, one)


def folder_of(root: Path, name: str) -> Path:
    """A lab's folder, whatever directory the next command is called in."""
    return Path(os.path.abspath(root)) / name


def load(folder: Path) -> LabState:
    """A lab's state. Raises NotFound, or Damaged for a file that is none of ours."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=LabState)
    except FileNotFoundError as error:
        raise NotFound(f"there is no lab called {folder.name} in {folder.parent}: shoal lab up makes one") from error
    except msgspec.MsgspecError as error:
        raise Damaged(f"{folder / FILE} cannot be read: {error}") from error


def save(folder: Path, state: LabState) -> None:
    """Write it, durably."""
    files.write(folder / FILE, msgspec.json.format(msgspec.json.encode(state)) + b"\n", 0o644)


def names(root: Path) -> list[str]:
    """The names of the labs there."""
    try:
        return sorted(name for name in os.listdir(root) if (root / name / FILE).is_file())
    except FileNotFoundError:
        return []


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other commands from changing what is in the folder, for the block."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
