"""Threads that are there before they are needed."""

import threading
from concurrent.futures import ThreadPoolExecutor


def started_pool(size: int) -> ThreadPoolExecutor:
    """A pool whose threads all run: one that starts them as work comes in fails that work when no more can be had."""
    pool = ThreadPoolExecutor(size, thread_name_prefix="asyncio")
    together = threading.Barrier(size + 1)
    for _ in range(size):
        pool.submit(together.wait)
    together.wait()
    return pool
