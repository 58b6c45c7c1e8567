"""Why a process could not be started, from the runtime's text: whose fault, and the exit code that shells know it by.

The texts and codes are dockerd's (``translateContainerdStartErr``).
"""

from typing import Final

from shoal.errors import Internal, InvalidArgument

_NOT_FOUND: Final = ("executable file not found", "no such file or directory")
_NOT_RUNNABLE: Final = ("permission denied", "is a directory", "not a directory", "must be an absolute path")


def exit_code(text: str) -> int:
    """127 for a program that is not there, 126 for one that cannot be run, 128 for anything else."""
    text = text.lower()
    if any(words in text for words in _NOT_RUNNABLE):
        return 126
    return 127 if any(words in text for words in _NOT_FOUND) else 128


def blamed(error: BaseException) -> BaseException:
    """The error, as InvalidArgument where what was asked for cannot be run rather than that something is broken."""
    text = str(error)
    if not isinstance(error, Internal) or exit_code(text) == 128:
        return error
    if "not a directory" in text.lower():
        text += (
            ": Are you trying to mount a directory onto a file (or vice-versa)? "
            "Check if the specified host path exists and is the expected type"
        )
    return InvalidArgument(text)
