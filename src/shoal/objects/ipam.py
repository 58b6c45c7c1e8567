"""Address pools: the addresses of one subnet, and the subnets of a list of larger pools. Pure."""

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from shoal.errors import Conflict, FailedPrecondition

Net: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Pool:
    """The host addresses of ``subnet`` (or of ``range`` within it), handed out one by one.

    Going round rather than always taking the lowest free one keeps a freed address out of use for as long as can be,
    so that nobody's stale idea of who lives there meets a stranger.
    """

    def __init__(self, subnet: Net, range_: Net | None = None) -> None:
        self.subnet = subnet
        self._range = range_ or subnet
        first, last = int(self._range.network_address), int(self._range.broadcast_address)
        if self._range.network_address == subnet.network_address and subnet.num_addresses > 2:
            first += 1
        if (
            subnet.version == 4
            and self._range.broadcast_address == subnet.broadcast_address
            and subnet.num_addresses > 2
        ):
            last -= 1
        self._first, self._last = first, last
        self._next = first
        self._taken: set[int] = set()

    def take(self, address: IP) -> None:
        """Reserve this very address. Raises Conflict if it is taken, FailedPrecondition if it is not of the subnet."""
        if address not in self.subnet:
            raise FailedPrecondition(f"requested address {address} is not within subnet {self.subnet}")
        if int(address) in self._taken:
            raise Conflict("Address already in use")
        self._taken.add(int(address))

    def allocate(self) -> IP:
        """Reserve the next free address. Raises FailedPrecondition when there is none."""
        for start, end in ((self._next, self._last), (self._first, self._next - 1)):
            for number in range(start, end + 1):
                if number not in self._taken:
                    self._taken.add(number)
                    self._next = number + 1 if number < self._last else self._first
                    return self._range.network_address + (number - int(self._range.network_address))
        raise FailedPrecondition("no available IPv4 addresses on this network's address pools")

    def release(self, address: IP) -> None:
        """Give an address back; one that was not taken is no error."""
        self._taken.discard(int(address))

    @property
    def size(self) -> int:
        """How many addresses can be handed out in all."""
        return self._last - self._first + 1

    def __len__(self) -> int:
        return len(self._taken)


def free_subnet(pools: Iterable[tuple[Net, int]], taken: Iterable[Net]) -> Net:
    """The first subnet of the pools (each with the prefix length to cut it into) that overlaps nothing in ``taken``.

    :raises FailedPrecondition: every subnet is in use.
    """
    used = list(taken)
    for pool, size in pools:
        near = [net for net in used if net.version == pool.version and net.overlaps(pool)]
        step = 1 << (pool.max_prefixlen - size)
        number, end = int(pool.network_address), int(pool.broadcast_address)
        while number <= end:
            candidate = ipaddress.ip_network((number, size))
            clash = next((net for net in near if net.overlaps(candidate)), None)
            if clash is None:
                return candidate
            # Go on behind what is in the way, in steps of the subnet's size.
            past = int(clash.broadcast_address) + 1
            number = max(number + step, -(-past // step) * step)
    raise FailedPrecondition(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )
