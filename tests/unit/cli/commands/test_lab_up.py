import pytest

from shoal.cli.commands.lab_up import COMMANDS, parse_percent
from shoal.cli.parse import parse
from shoal.errors import InvalidArgument


def test_a_share_is_in_percent() -> None:
    assert parse_percent("1%") == 1 and parse_percent("0.5%") == 0.5
    for text in ("1", "%", "x%", ""):
        with pytest.raises(InvalidArgument):
            parse_percent(text)


def test_what_follows_the_dashes_is_shoald_s() -> None:
    up = next(command for command in COMMANDS if command.name == "up")
    args = parse("shoal lab up", up, ["3", "--latency", "10ms", "--loss", "1%", "--", "--debug", "--mtu=1400"])
    assert args.words == ["3", "--debug", "--mtu=1400"]
    assert (args["latency"], args["loss"], args["mtu"]) == (10_000_000, 1.0, 1500)
