"""Shell words: how ``--entrypoint`` and ``--args`` of a service are split."""

import shlex

from shoal.errors import InvalidArgument


def split_words(text: str) -> list[str]:
    """The words of a command line. Raises InvalidArgument."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidArgument("invalid command line string") from error
