"""Whose fault a failed start is, and the exit code that goes with it."""

import pytest

from shoal.engine.startfailure import blamed, exit_code
from shoal.errors import Internal, InvalidArgument, NotFound


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('exec: "x": executable file not found in $PATH: unknown', 127),
        ('exec: "/x": stat /x: no such file or directory: unknown', 127),
        ('exec: "/": permission denied: unknown', 126),
        ('exec: "/etc": is a directory: unknown', 126),
        ("error mounting: not a directory: unknown", 126),
        ("exec failed: Cwd must be an absolute path: unknown", 126),
        ("no space left on device", 128),
    ],
)
def test_texts_of_the_runtime(text: str, code: int) -> None:
    assert exit_code(text) == code
    found = blamed(Internal(text))
    assert isinstance(found, InvalidArgument) == (code != 128)
    assert str(found).startswith(text)


def test_other_errors_stay_what_they_are() -> None:
    error = NotFound("network x not found: no such file or directory")
    assert blamed(error) is error
    assert "Are you trying to mount a directory onto a file" in str(blamed(Internal("x: Not a directory")))
