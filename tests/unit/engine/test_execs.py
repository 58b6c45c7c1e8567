from shoal.container import oci
from shoal.engine.execs import merged_environment, with_console


def test_variables_replace_what_has_their_name() -> None:
    assert merged_environment(["A=1", "B=2", "C=3"], ["B=x=y", "D=", "C"]) == ("A=1", "B=x=y", "D=")


def test_a_size_is_for_terminals_only() -> None:
    process = oci.Process(args=("x",), cwd="/", terminal=True)
    assert with_console(process, (3, 4)).console_size == oci.ConsoleSize(height=3, width=4)
    assert with_console(process, (0, 0)) == process
    plain = oci.Process(args=("x",), cwd="/")
    assert with_console(plain, (3, 4)) == plain
