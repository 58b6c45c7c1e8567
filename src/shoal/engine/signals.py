"""Signals as users write them: ``TERM``, ``SIGTERM``, ``15``, ``RTMIN+3``."""

import signal

from shoal.errors import InvalidArgument


def parse_signal(text: str) -> int:
    """The signal's number. Raises InvalidArgument in Docker's words."""
    word = text.strip().upper().removeprefix("SIG")
    if word.isdecimal() and len(word) < 10:
        number = int(word)
        if 0 < number <= signal.SIGRTMAX:
            return number
    elif word.startswith(("RTMIN+", "RTMAX-")) and word[6:].isdecimal() and len(word) < 10:
        offset = int(word[6:])
        number = signal.SIGRTMIN + offset if word.startswith("RTMIN") else signal.SIGRTMAX - offset
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    elif f"SIG{word}" in signal.Signals.__members__:
        return signal.Signals[f"SIG{word}"]
    raise InvalidArgument(f"Invalid signal: {text}")
