import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.cli.command import Arguments, Command, Flag, UsageError
from shoal.cli.context import Context
from shoal.cli.kinds import FILTER, INT, LIST, MAP, STRING, switch
from shoal.cli.parse import BAD_FLAG, parse


def nothing(ctx: Context, args: Arguments) -> int:
    return 0


FLAGS = (
    switch("interactive", "", "i"),
    switch("tty", "", "t"),
    switch("proxy", "", default=True),
    Flag("env", LIST, "", "e"),
    Flag("last", INT, "", "n", -1),
    Flag("name", STRING, ""),
    Flag("opt", MAP, "", "o"),
    Flag("filter", FILTER, "", "f"),
)
RUN = Command("run", "", nothing, "IMAGE [COMMAND] [ARG...]", 1, flags=FLAGS, interspersed=False)
LIST_ROWS = Command("ls", "", nothing, most=2, flags=FLAGS)


def test_short_flags_group_and_take_values_in_every_form() -> None:
    args = parse(
        "shoal run", RUN, ["-it", "-eA=1", "-e", "B=2", "-e=C=3", "--env", "D", "--env=E=5", "img", "-t", "--x"]
    )
    assert args.on("interactive") and args.on("tty")
    assert args.items("env") == ["A=1", "B=2", "C=3", "D", "E=5"]
    assert args.words == ["img", "-t", "--x"]


def test_flags_and_words_mix_until_a_double_dash() -> None:
    args = parse("shoal ls", LIST_ROWS, ["a", "-n", "3", "--proxy=false", "--", "-t"])
    assert args.words == ["a", "-t"]
    assert args["last"] == 3
    assert not args.on("proxy") and args.given("proxy")
    assert not args.on("tty") and not args.given("tty")


def test_a_group_of_shorts_may_end_with_a_value() -> None:
    args = parse("shoal run", RUN, ["-tn5", "img"])
    assert args.on("tty") and args["last"] == 5


def test_pairs_and_filters_are_split_once() -> None:
    args = parse("shoal ls", LIST_ROWS, ["-o", "a=b=c", "-o", "d", "-f", " Name = x=y "])
    assert args.items("opt") == [("a", "b=c"), ("d", "")]
    assert args.items("filter") == [("name", "x=y")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "unknown flag: --foo"),
        (["-z"], "unknown shorthand flag: 'z' in -z"),
        (["-tz"], "unknown shorthand flag: 'z' in -tz"),
        (["--last"], "flag needs an argument: --last"),
        (["-n"], "flag needs an argument: 'n' in -n"),
        (["--last", "x"], 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["--tty=x"], 'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": invalid syntax'),
        (["-f", "x"], 'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)'),
    ],
)
def test_bad_flags_are_told_in_dockers_words_with_125(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse("shoal run", RUN, words)
    assert caught.value.status == BAD_FLAG
    usage = "Usage:  shoal run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'shoal run --help' for more information"
    assert str(caught.value) == f"{message}\n\n{usage}"


@pytest.mark.parametrize(
    ("least", "most", "words", "problem"),
    [
        (0, 0, ["x"], "accepts no arguments"),
        (2, 2, ["x"], "requires 2 arguments"),
        (1, 1, [], "requires 1 argument"),
        (1, -1, [], "requires at least 1 argument"),
        (0, 1, ["x", "y"], "requires at most 1 argument"),
    ],
)
def test_the_number_of_words_is_checked(least: int, most: int, words: list[str], problem: str) -> None:
    command = Command("c", "", nothing, "X", least, most)
    with pytest.raises(UsageError, match=problem) as caught:
        parse("shoal c", command, words)
    assert caught.value.status == 1


def test_help_comes_before_the_count() -> None:
    assert parse("shoal run", RUN, ["--help"]).on("help")
    assert parse("shoal run", RUN, ["-h"]).on("help")


@given(
    st.lists(
        st.sampled_from(["-i", "-t", "-it", "-n1", "--name=x", "-e", "--env=y", "w", "--", "-q", "--last", "=", "-"])
    )
)
def test_parsing_ends_in_arguments_or_a_usage_error(words: list[str]) -> None:
    try:
        args = parse("shoal ls", LIST_ROWS, words)
    except UsageError as error:
        assert str(error)
    else:
        assert len(args.words) <= 2
