"""Which connections are to be cut when a network's endpoints change."""

from shoal.network.flows import Backends, Lost, lost


def backends(there: str, serving: str) -> Backends:
    return Backends(frozenset(there), frozenset(serving))


def test_what_is_gone_loses_all_and_what_is_withdrawn_its_datagrams() -> None:
    old = {"n": backends("abc", "abc"), "m": backends("x", "x"), "same": backends("q", "q")}
    new = {"n": backends("bcd", "bd"), "same": backends("q", "q")}
    assert lost(old, new) == {
        "n": Lost(gone=frozenset("a"), withdrawn=frozenset("ac")),
        "m": Lost(gone=frozenset("x"), withdrawn=frozenset("x")),
    }
    assert lost(new, new) == {} and lost({}, new) == {}
