import pytest

from shoal.cli.help import command_help
from shoal.cli.index import MODULES, NOUNS, SHORTHANDS, locate, names_of
from shoal.cli.main import load_command, load_group, overview

ALL = [(noun, verb) for noun, verbs in MODULES.items() for verb in verbs]


@pytest.mark.parametrize(("noun", "verb"), ALL)
def test_every_command_is_whole(noun: str, verb: str) -> None:
    command = load_command(noun, verb)
    assert command.name == verb and command.help and command.examples
    names = [flag.name for flag in command.flags]
    shorts = [flag.short for flag in command.flags if flag.short]
    assert len(set(names)) == len(names) and len(set(shorts)) == len(shorts)
    assert all(flag.help for flag in command.flags)
    assert command.help in command_help(f"shoal {verb}", command, names_of(noun, verb))


def test_nouns_list_their_commands() -> None:
    for noun in NOUNS:
        assert {command.name for command in load_group(noun).commands} == set(MODULES[noun])
    assert "service" in overview()


def test_shorthands_lead_to_the_noun() -> None:
    assert locate(["ps", "-a"]) == ("container", "ls", 1)
    assert locate(["network", "list"]) == ("network", "ls", 2)
    assert locate(["network"]) is None and locate(["nope"]) is None
    assert all(verb in MODULES[noun] for noun, verb in SHORTHANDS.values())
    assert names_of("container", "ls") == ["container ls", "container list", "container ps", "ps"]
