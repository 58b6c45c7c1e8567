import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shoal.errors import Conflict, FailedPrecondition
from shoal.objects.ipam import IP, Net, Pool, free_subnet

SUBNETS = ["10.0.0.0/29", "10.0.0.0/30", "10.0.0.0/31", "10.0.0.7/32", "2001:db8::/125", "2001:db8::/127"]


def addresses_of(subnet: Net) -> set[IP]:
    """What may be handed out: no network address, for IPv4 no broadcast address, except in the smallest subnets."""
    if subnet.num_addresses <= 2:
        return set(subnet)
    inner = {a for a in subnet if a != subnet.network_address}
    return inner - {subnet.broadcast_address} if subnet.version == 4 else inner


class Addresses(RuleBasedStateMachine):
    """A pool against a set of those that are held."""

    @initialize(text=st.sampled_from(SUBNETS))
    def begin(self, text: str) -> None:
        self.subnet = ipaddress.ip_network(text)
        self.pool = Pool(self.subnet)
        self.held: set[IP] = set()
        self.last_freed: IP | None = None

    @rule()
    def allocate(self) -> None:
        if self.held >= addresses_of(self.subnet):
            with pytest.raises(FailedPrecondition):
                self.pool.allocate()
            return
        address = self.pool.allocate()
        assert address not in self.held and address in addresses_of(self.subnet)
        self.held.add(address)

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        address = data.draw(st.sampled_from(sorted(self.subnet)))  # type: ignore[type-var]
        if address in self.held:
            with pytest.raises(Conflict):
                self.pool.take(address)
        else:
            self.pool.take(address)
            self.held.add(address)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        address = data.draw(st.sampled_from(sorted(self.held)))  # type: ignore[type-var]
        self.pool.release(address)
        self.held.remove(address)

    @rule(data=st.data())
    def release_what_is_free(self, data: st.DataObject) -> None:
        if rest := sorted(set(self.subnet) - self.held):  # type: ignore[type-var]
            self.pool.release(data.draw(st.sampled_from(rest)))

    @invariant()
    def counts(self) -> None:
        assert len(self.pool) == len(self.held)
        assert self.pool.free == len(addresses_of(self.subnet) - self.held)


Addresses.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAddresses = Addresses.TestCase


def test_a_freed_address_comes_back_last() -> None:
    pool = Pool(ipaddress.ip_network("10.0.0.0/29"))
    first = pool.allocate()
    pool.release(first)
    assert [str(pool.allocate()) for _ in range(6)] == [f"10.0.0.{n}" for n in (2, 3, 4, 5, 6, 1)]


def test_a_range_is_kept_to() -> None:
    pool = Pool(ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("10.0.0.128/30"))
    pool.take(ipaddress.ip_address("10.0.0.1"))
    assert pool.free == 4
    assert [str(pool.allocate()) for _ in range(4)] == [f"10.0.0.{n}" for n in (128, 129, 130, 131)]
    with pytest.raises(FailedPrecondition):
        pool.allocate()
    pool.release(ipaddress.ip_address("10.0.0.1"))
    assert pool.free == 0
    with pytest.raises(FailedPrecondition, match="not within subnet"):
        pool.take(ipaddress.ip_address("10.0.1.1"))


def test_a_very_large_subnet_costs_nothing() -> None:
    pool = Pool(ipaddress.ip_network("fd00::/16"))
    assert str(pool.allocate()) == "fd00::1"
    assert Pool(ipaddress.ip_network("10.0.0.0/8")).free == 2**24 - 2


NETS = st.builds(
    lambda number, prefix: ipaddress.ip_network(((0x0A000000 | number), prefix), strict=False),
    st.integers(0, 0xFFFF),
    st.integers(16, 32),
)


@settings(deadline=None)
@given(
    st.lists(NETS, max_size=12),
    st.lists(
        st.tuples(st.sampled_from(["10.0.0.0/20", "10.0.64.0/18", "10.0.0.0/24"]), st.integers(24, 28)), min_size=1
    ),
)
def test_a_free_subnet_overlaps_nothing_and_is_found_if_there_is_one(
    taken: list[Net], texts: list[tuple[str, int]]
) -> None:
    pools = [(ipaddress.ip_network(text), size) for text, size in texts]
    candidates = [sub for pool, size in pools for sub in pool.subnets(new_prefix=size)]
    free = [sub for sub in candidates if not any(sub.overlaps(net) for net in taken)]
    if not free:
        with pytest.raises(FailedPrecondition):
            free_subnet(pools, taken)
        return
    assert free_subnet(pools, taken) == free[0]


def test_thousands_of_networks_cost_little() -> None:
    pools: list[tuple[Net, int]] = [(ipaddress.ip_network("10.0.0.0/8"), 24)]
    taken: list[Net] = []
    for number in range(300):
        found = free_subnet(pools, taken)
        assert found == ipaddress.ip_network((0x0A000000 + number * 256, 24))
        taken.append(found)
