"""Operations that tell how far they are, as an answer that grows: pull, push, load, import."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec

from shoal.aio.tasks import cancel, spawn
from shoal.api.backends_containers import Report


async def messages(work: Callable[[Report], Awaitable[None]], *, name: str) -> AsyncGenerator[msgspec.Struct, None]:
    """Run ``work`` with a report of its own and yield what it reports; at the end, raise what it raised.

    Leaving the iteration cancels the work.
    """
    reported: asyncio.Queue[msgspec.Struct | None] = asyncio.Queue()
    failures: list[Exception] = []

    async def run() -> None:
        try:
            await work(reported.put_nowait)
        except Exception as error:  # noqa: BLE001 - raised again below, where somebody can answer it
            failures.append(error)
        finally:
            reported.put_nowait(None)

    task = spawn(run(), name=name)
    try:
        while (message := await reported.get()) is not None:
            yield message
    finally:
        await cancel(task)
    if failures:
        raise failures[0]
