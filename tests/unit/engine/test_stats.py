import pytest

from shoal.engine.stats import parse_cpu, parse_interfaces, parse_ps
from shoal.errors import Internal
from shoal.objects.results import InterfaceCounters

DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:     100 1 0 0 0 0 0 0      100 1 0 0 0 0 0 0
  eth0:11 12 13 14 0 0 0 0 21 22 23 24 0 0 0 0
"""


def test_interfaces_without_the_loopback() -> None:
    assert parse_interfaces(DEV) == {"eth0": InterfaceCounters(11, 12, 13, 14, 21, 22, 23, 24)}


def test_cpu_time_leaves_out_what_guests_had_twice() -> None:
    assert parse_cpu("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\ncpu1 1\nintr 5\n") == (28 * 10_000_000, 2)


def test_rows_of_ps() -> None:
    output = "UID PID CMD\nroot 1 a  b c\nann 22 d\nroot 222 e\n"
    assert parse_ps(output, (1, 22)) == (["UID", "PID", "CMD"], [["root", "1", "a  b c"], ["ann", "22", "d"]])
    with pytest.raises(Internal):
        parse_ps("UID CMD\n", ())
