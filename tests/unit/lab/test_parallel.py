import threading

import pytest

from shoal.errors import Conflict
from shoal.lab.parallel import for_all


def test_all_are_under_way_at_the_same_time() -> None:
    barrier = threading.Barrier(3)

    def act(number: int) -> int:
        barrier.wait(10)
        return number * 2

    assert for_all([1, 2, 3], act) == [2, 4, 6]
    assert for_all([], act) == []


def test_the_first_failure_is_raised_once_all_have_ended() -> None:
    ended = []

    def act(number: int) -> None:
        ended.append(number)
        if number > 1:
            raise Conflict(f"number {number}")

    with pytest.raises(Conflict, match="number 2"):
        for_all([1, 2, 3], act)
    assert sorted(ended) == [1, 2, 3]
