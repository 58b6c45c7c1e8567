from shoal.lab.state import EVERYBODY
from shoal.lab.underlay import ruleset


def rules(script: str) -> list[str]:
    return [rule.strip(" };\n") for rule in script.rpartition("forward {")[2].split(";")][1:-1]


def test_frames_of_a_cut_are_dropped_both_ways() -> None:
    assert [rule for rule in rules(ruleset((("node1", "node2"), ("node3", EVERYBODY)), 0)) if rule] == [
        'iifname "node1" oifname "node2" drop',
        'iifname "node2" oifname "node1" drop',
        'iifname "node3" drop',
        'oifname "node3" drop',
    ]


def test_loss_is_to_the_millionth() -> None:
    assert "numgen random mod 1000000 < 10000 drop" in ruleset((), 1)
    assert "< 1000000 drop" in ruleset((), 100) and "< 1 drop" in ruleset((), 0.0001)
    assert "drop" not in ruleset((), 0)


def test_a_ruleset_takes_the_place_of_what_was() -> None:
    assert ruleset((), 0).startswith("add table bridge shoal_lab\ndelete table bridge shoal_lab\n")
