from shoal.cli.command import Arguments
from shoal.cli.labflags import FLAGS, place, spelled

USUAL = {flag.name: flag.default for flag in FLAGS}


def test_only_what_is_unusual_is_spelled() -> None:
    assert spelled(Arguments([], USUAL, set())) == ""
    assert spelled(Arguments([], USUAL | {"name": "big"}, {"name"})) == " --name big"
    assert place(Arguments([], USUAL, set()))[0] == "lab"
