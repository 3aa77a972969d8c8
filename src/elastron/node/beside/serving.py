"""Running a sidecar until a signal ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from elastron.node.beside.settings import SidecarSettings
from elastron.node.beside.sidecar import Sidecar
from elastron.service.logs import configure_logging
from elastron.service.signals import run_until_signal


async def serve(
    settings: SidecarSettings, on_ready: Callable[[Sidecar], None] | None = None
) -> None:
    """Run a sidecar; return when it has been told to end and the Gadgetron's scans are done.

    SIGTERM and SIGINT drain, so that it answers for the Gadgetron to the end; a second one stops
    at once.

    Args:
        settings: of the sidecar.
        on_ready: called once it answers.

    Raises:
        ElastronError: the admin address is taken, or this is no Linux.
    """
    async with Sidecar(settings) as sidecar:
        await run_until_signal(
            sidecar.drain, None if on_ready is None else lambda: on_ready(sidecar)
        )


def run_sidecar(
    settings: SidecarSettings, on_ready: Callable[[Sidecar], None] | None = None
) -> None:
    """Run a sidecar in this process, blocking; logs to stderr as the settings say.

    Args:
        settings: of the sidecar.
        on_ready: called once it answers.

    Raises:
        ElastronError: the admin address is taken, or this is no Linux.
    """
    configure_logging(settings.log_format, settings.log_level)
    asyncio.run(serve(settings, on_ready))
