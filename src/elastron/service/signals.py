"""SIGTERM and SIGINT: go down in good order; once more: at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator

import structlog


@contextlib.contextmanager
def signals() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events of the running loop: set at the first signal, and at every later one."""
    loop = asyncio.get_running_loop()
    log = structlog.get_logger()
    first, second = asyncio.Event(), asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if not first.is_set():
            log.info("going down; once more to stop at once", signal=number.name)
            first.set()
        else:
            log.warning("stopping at once", signal=number.name)
            second.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield first, second
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def run_until_signal(
    drain: Callable[[], Awaitable[object]], on_ready: Callable[[], None] | None = None
) -> None:
    """Wait for a signal, then drain; a second signal ends the wait.

    Args:
        drain: stops accepting and returns when what ran is done.
        on_ready: called once signals are listened for.
    """
    with signals() as (first, second):
        if on_ready is not None:
            on_ready()
        await first.wait()
        draining = asyncio.ensure_future(drain())
        stopping = asyncio.create_task(second.wait())
        await asyncio.wait({draining, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, stopping):
            task.cancel()
        await asyncio.gather(draining, stopping, return_exceptions=True)
