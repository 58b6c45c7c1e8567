import threading

from shoal.aio.threads import started_pool


def test_all_threads_are_there_from_the_start() -> None:
    before = threading.active_count()
    pool = started_pool(3)
    try:
        assert threading.active_count() == before + 3
        assert [pool.submit(lambda: 7).result() for _ in range(10)] == [7] * 10
        assert threading.active_count() == before + 3
    finally:
        pool.shutdown()
