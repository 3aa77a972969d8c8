"""Running a gateway until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from collections.abc import Callable

from elastron.gateway.server import Gateway
from elastron.gateway.settings import GatewaySettings
from elastron.service.logs import configure_logging
from elastron.service.signals import run_until_signal

try:
    from uvloop import run as run_loop
except ImportError:  # Windows
    from asyncio import run as run_loop


async def serve(
    settings: GatewaySettings, on_ready: Callable[[Gateway], None] | None = None
) -> None:
    """Run a gateway; return when it has been told to end and has.

    SIGTERM and SIGINT drain: running scans finish, then it ends. A second one stops at once.
    SIGHUP reads keys and certificates again.

    Args:
        settings: of the gateway.
        on_ready: called once it takes scans.

    Raises:
        ElastronError: an address is taken, or a folder or a key cannot be used.
    """
    async with Gateway(settings) as gateway:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, gateway.reload)
        try:
            await run_until_signal(
                gateway.drain, None if on_ready is None else lambda: on_ready(gateway)
            )
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


def run_gateway(
    settings: GatewaySettings, on_ready: Callable[[Gateway], None] | None = None
) -> None:
    """Run a gateway in this process, blocking; logs to stderr as the settings say.

    Args:
        settings: of the gateway.
        on_ready: called once it takes scans.

    Raises:
        ElastronError: an address is taken, or a folder or a key cannot be used.
    """
    configure_logging(settings.log_format, settings.log_level)
    _allow_descriptors()
    gc.freeze()  # what was imported stays: no collection need look at it again
    run_loop(serve(settings, on_ready))


def _allow_descriptors() -> None:
    """As many as the system lets us have: each scan takes two, each silent client one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
