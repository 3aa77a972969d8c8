"""Running the controller until a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import structlog

from elastron.autoscaler.controller import Controller
from elastron.autoscaler.controller_admin import make_app
from elastron.autoscaler.controller_settings import ControllerSettings
from elastron.fleet.kubernetes.cluster import Cluster
from elastron.service.address import Address
from elastron.service.http import http_server
from elastron.service.logs import configure_logging
from elastron.service.signals import run_until_signal

#: Where Kubernetes tells a pod its namespace.
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def own_namespace(given: str | None) -> str:
    """The namespace meant: given, of the pod, or `default`."""
    if given or (given := os.environ.get("POD_NAMESPACE")):
        return given
    with contextlib.suppress(OSError):
        return _NAMESPACE.read_text().strip()
    return "default"


def run_controller(settings: ControllerSettings) -> None:
    """Run a controller until SIGTERM or Ctrl-C."""
    configure_logging(settings.log_format, settings.log_level)
    asyncio.run(_run(settings))


async def _run(settings: ControllerSettings) -> None:
    name = settings.name or os.environ.get("POD_NAME") or socket.gethostname()
    controller = Controller(settings, Cluster(own_namespace(settings.namespace)), name)
    async with contextlib.AsyncExitStack() as stack:
        if settings.admin is not None:
            address = Address.parse(settings.admin)
            bound = await stack.enter_async_context(http_server(make_app(controller), address))
            structlog.get_logger().info("controller runs", name=name, admin=str(bound))
        running = asyncio.create_task(controller.run())

        async def stop() -> None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        await run_until_signal(stop)
