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
        self._free = last - first + 1

    def take(self, address: IP) -> None:
        """Reserve this very address. Raises Conflict if it is taken, FailedPrecondition if it is not of the subnet."""
        if address not in self.subnet:
            raise FailedPrecondition(f"requested address {address} is not within subnet {self.subnet}")
        if int(address) in self._taken:
            raise Conflict("Address already in use")
        self._mark(int(address))

    def allocate(self) -> IP:
        """Reserve the next free address. Raises FailedPrecondition when there is none."""
        if not self._free:
            raise FailedPrecondition("no available IPv4 addresses on this network's address pools")
        number = self._next
        while number in self._taken:
            number = self._after(number)
        self._mark(number)
        self._next = self._after(number)
        return self.subnet.network_address + (number - int(self.subnet.network_address))

    def _after(self, number: int) -> int:
        return number + 1 if number < self._last else self._first

    def release(self, address: IP) -> None:
        """Give an address back; one that was not taken is no error."""
        if int(address) in self._taken:
            self._taken.remove(int(address))
            self._free += self._first <= int(address) <= self._last

    def _mark(self, number: int) -> None:
        self._taken.add(number)
        self._free -= self._first <= number <= self._last

    @property
    def free(self) -> int:
        """How many addresses are left to hand out."""
        return self._free

    def __len__(self) -> int:
        return len(self._taken)


def free_subnet(pools: Iterable[tuple[Net, int]], taken: Iterable[Net]) -> Net:
    """The first subnet of the pools (each with the prefix length to cut it into) that overlaps nothing in ``taken``.

    :raises FailedPrecondition: every subnet is in use.
    """
    used = sorted((net.version, int(net.network_address), int(net.broadcast_address)) for net in taken)
    for pool, size in pools:
        step = 1 << (pool.max_prefixlen - size)
        number, end = int(pool.network_address), int(pool.broadcast_address)
        # From the lowest up, each time behind what is in the way, in steps of the subnet's size.
        for version, first, last in used:
            if version == pool.version and first < number + step and last >= number:
                number = -(-(last + 1) // step) * step
        if number <= end:
            return ipaddress.ip_network((pool.network_address + (number - int(pool.network_address)), size))
    raise FailedPrecondition(
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )
