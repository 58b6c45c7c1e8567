"""The same for several hosts at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def for_all(things: Sequence[T], act: Callable[[T], R]) -> list[R]:
    """What ``act`` gives for each, in order. Raises the first failure in that order, once all have ended.

    Who is interrupted meanwhile does not wait for what is under way.
    """
    if not things:
        return []
    pool = ThreadPoolExecutor(len(things), thread_name_prefix="lab")
    try:
        futures = [pool.submit(act, thing) for thing in things]
        wait(futures)
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
