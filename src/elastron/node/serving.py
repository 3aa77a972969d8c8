"""Running a node until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

import structlog

from elastron.node.logs import configure_logging
from elastron.node.settings import NodeSettings
from elastron.node.supervisor import Node

try:
    from uvloop import run as run_loop
except ImportError:  # Windows
    from asyncio import run as run_loop


async def serve(settings: NodeSettings, on_ready: Callable[[Node], None] | None = None) -> None:
    """Run a node; return when it has been told to end and has.

    SIGTERM (Kubernetes, service managers) drains: running sessions finish, then it ends. A second
    SIGTERM or SIGINT stops at once. SIGINT (Ctrl-C) drains as well when a session is running.

    Args:
        settings: of the node.
        on_ready: called once it takes scans.

    Raises:
        ElastronError: an address is taken, or no worker comes up.
    """
    async with Node(settings) as node:
        with _signals() as (first, second):
            if on_ready is not None:
                on_ready(node)
            await first.wait()
            draining = asyncio.create_task(node.drain())
            stopping = asyncio.create_task(second.wait())
            await asyncio.wait({draining, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (draining, stopping):
                task.cancel()
            await asyncio.gather(draining, stopping, return_exceptions=True)


def run_node(settings: NodeSettings, on_ready: Callable[[Node], None] | None = None) -> None:
    """Run a node in this process, blocking; logs to stderr as the settings say.

    Args:
        settings: of the node.
        on_ready: called once it takes scans.

    Raises:
        ElastronError: an address is taken, or no worker comes up.
    """
    configure_logging(settings.log_format, settings.log_level)
    run_loop(serve(settings, on_ready))


@contextlib.contextmanager
def _signals() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
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
