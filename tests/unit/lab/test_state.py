from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import Conflict, Damaged, InvalidArgument, NotFound
from shoal.lab import state
from shoal.lab.state import EVERYBODY, Wish


def test_hosts_have_addresses_that_say_their_number() -> None:
    lab = state.plan(Wish(count=3), [])
    assert [(host.name, host.address) for host in lab.hosts] == [
        ("node1", "192.168.100.1"),
        ("node2", "192.168.100.2"),
        ("node3", "192.168.100.3"),
    ]
    assert lab.subnet == "192.168.100.0/24" and lab.outside == "192.168.100.254"


def test_a_subnet_keeps_off_what_is_in_use() -> None:
    taken = [IPv4Network("192.168.96.0/21"), IPv4Network("192.168.104.7/32"), IPv4Network("10.0.0.0/8")]
    assert state.plan(Wish(count=1), taken).subnet == "192.168.105.0/24"
    with pytest.raises(Conflict, match="overlaps 10.0.0.0/8"):
        state.plan(Wish(count=1, subnet="10.1.0.0/24"), taken)
    with pytest.raises(Conflict, match="no /24"):
        state.plan(Wish(count=1), [IPv4Network("192.168.0.0/16")])
    assert state.plan(Wish(count=1, subnet="172.30.0.0/29"), taken).outside == "172.30.0.6"


@pytest.mark.parametrize(
    ("subnet", "says"),
    [
        ("x", "invalid subnet"),
        ("10.0.0.1/24", "host bits"),
        ("fd00::/64", "invalid subnet"),
        ("10.0.0.0/30", "no room"),
    ],
)
def test_a_subnet_that_cannot_be(subnet: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        state.plan(Wish(count=2, subnet=subnet), [])


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Wish(count=0), "1 to 250 hosts"),
        (Wish(count=251), "1 to 250 hosts"),
        (Wish(count=3, managers=4), "can be managers"),
        (Wish(count=3, managers=-1), "can be managers"),
        (Wish(count=1, loss=101), "0% to 100%"),
        (Wish(count=1, loss=float("nan")), "0% to 100%"),
        (Wish(count=1, latency=-1), "negative"),
        (Wish(count=1, mtu=100), "576 to 65535"),
        (Wish(count=1, name="../x"), "invalid name"),
        (Wish(count=1, name="twelve-chars"), "invalid name"),
        (Wish(count=1, root=Path("/run/x")), "a /run, /sys and /proc of its own"),
        (Wish(count=1, root=Path("/" + "x" * 90)), "too long"),
        (Wish(count=1, images=(Path("/nowhere/image.tar"),)), "open /nowhere/image.tar: no such file"),
    ],
)
def test_wishes_that_cannot_be(wish: Wish, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        state.check(wish)


def test_the_longest_name_fits_a_link_and_a_socket() -> None:
    wish = Wish(count=250, managers=0, name="eleven-char")
    state.check(wish)
    assert len(f"lab-{wish.name}") == 15
    folder = Path("/" + "x" * 74) / wish.name
    state.check(Wish(count=250, name=wish.name, root=folder.parent))
    assert len(str(folder / "node250" / "docker.sock")) == 107


def test_cuts_come_once_and_go() -> None:
    cuts = state.with_cut((), "node3", "node2")
    assert cuts == state.with_cut(cuts, "node2", "node3") == (("node2", "node3"),)
    cuts = state.with_cut(cuts, "node2", EVERYBODY)
    with pytest.raises(Conflict, match="shoal lab heal node2"):
        state.without_cut(cuts, "node3", "node2")
    assert state.without_cut(cuts, "node2", EVERYBODY) == ()
    assert state.without_cut(cuts, "node1", EVERYBODY) == cuts
    assert state.without_cut((("node1", "node2"), ("node2", "node3")), "node3", "node2") == (("node1", "node2"),)


NAMES = st.sampled_from(["node1", "node2", "node3"])


@given(st.lists(st.tuples(NAMES, st.sampled_from(["node4", EVERYBODY, "node5"]))), NAMES)
def test_healing_a_host_leaves_none_of_its_cuts_and_all_others(pairs: list[tuple[str, str]], name: str) -> None:
    cuts: tuple[state.Cut, ...] = ()
    for pair in pairs:
        cuts = state.with_cut(cuts, *pair)
    healed = state.without_cut(cuts, name, EVERYBODY)
    assert set(cuts) - set(healed) == {cut for cut in cuts if name in cut}


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    lab = state.plan(Wish(count=2, latency=5, loss=0.5, flags=("--debug",)), [])
    folder = tmp_path / "lab"
    folder.mkdir()
    assert state.names(tmp_path) == [] and state.names(tmp_path / "nowhere") == []
    state.save(folder, lab)
    assert state.load(folder) == lab and state.names(tmp_path) == ["lab"]


@pytest.mark.parametrize("content", ["", "{}", '{"name": 1}', "\x00\xff"])
def test_a_file_that_is_none_of_ours(tmp_path: Path, content: str) -> None:
    with pytest.raises(NotFound, match="no lab called"):
        state.load(tmp_path)
    (tmp_path / state.FILE).write_text(content)
    with pytest.raises(Damaged, match="cannot be read"):
        state.load(tmp_path)
