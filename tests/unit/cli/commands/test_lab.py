import pytest

from shoal.cli.command import Arguments
from shoal.cli.commands.lab import pair
from shoal.errors import InvalidArgument


@pytest.mark.parametrize(
    ("words", "hosts"),
    [
        (["node2"], ["node2"]),
        (["node2", "from", "node3"], ["node2", "node3"]),
        (["node2", "node3"], ["node2", "node3"]),
    ],
)
def test_one_host_or_two(words: list[str], hosts: list[str]) -> None:
    assert pair(Arguments(words, {}, set())) == hosts


@pytest.mark.parametrize("words", [["node2", "from"], ["node1", "node2", "node3"]])
def test_what_is_neither(words: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        pair(Arguments(words, {}, set()))
