"""Running a node until a signal ends it."""

from __future__ import annotations

from collections.abc import Callable

from elastron.node.settings import NodeSettings
from elastron.node.supervisor import Node
from elastron.service.logs import configure_logging
from elastron.service.signals import run_until_signal

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
        await run_until_signal(node.drain, None if on_ready is None else lambda: on_ready(node))


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
