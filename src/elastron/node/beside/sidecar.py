"""The sidecar: looks at connections and log, asks for health, drains, finds workers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Self
from urllib.parse import urlsplit

import structlog

from elastron.errors import ElastronError
from elastron.node.beside.admin import admin_server
from elastron.node.beside.connections import Connection, connections_to
from elastron.node.beside.log import GadgetronLog
from elastron.node.beside.metrics import Readings, SidecarMetrics
from elastron.node.beside.occupancy import Occupancy
from elastron.node.beside.probe import Prober
from elastron.node.beside.settings import SidecarSettings
from elastron.service.address import Address
from elastron.service.workers import format_workers, gateway_workers

#: While the Gadgetron does not answer: its start is waited for.
_PROBE_AGAIN_S = 1.0
_HTTP_PORT = 80


class Sidecar:
    """Stands beside an upstream Gadgetron.

    `async with Sidecar(settings) as sidecar:` starts it and, at the end, stops it.

    Args:
        settings: of the sidecar.

    Attributes:
        admin_address: of the admin HTTP server, with the port it was given.
        metrics: Prometheus metrics.
    """

    def __init__(self, settings: SidecarSettings) -> None:
        self.settings = settings
        self.node = Address.parse(settings.node)
        self.admin_address = Address.parse(settings.admin)
        self.metrics = SidecarMetrics(self._readings)
        self._logger = structlog.get_logger()
        self._prober = Prober(self.node, settings.probe_timeout_s)
        self._occupancy = Occupancy(settings.settle_s)
        self._gadgetron_log = (
            None if settings.log is None else GadgetronLog(settings.log, settings.log_bytes_max)
        )
        self._draining_since: float | None = None
        self._finished = 0
        self._failure: str | None = "not asked yet"
        self._looked = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = contextlib.AsyncExitStack()

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to look, to ask and to answer.

        Raises:
            ElastronError: the admin address is taken, or this is no Linux.
        """
        await self._look()
        self.admin_address = await self._stack.enter_async_context(
            admin_server(self, self.admin_address)
        )
        self._tasks = [
            asyncio.create_task(self._repeat(self._look, lambda: self.settings.look_interval_s)),
            asyncio.create_task(self._repeat(self._probe, self._probe_pause_s)),
        ]
        self._logger.info(
            "sidecar is ready",
            node=str(self.node),
            admin=str(self.admin_address),
            capacity=self.settings.capacity,
        )

    async def stop(self) -> None:
        """End; the Gadgetron is not touched."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
        if self._gadgetron_log is not None:
            self._gadgetron_log.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def drain(self) -> int:
        """Tell everybody to send no scans, and wait until those that run are done.

        Returns:
            Scans that still run after `drain_timeout_s`.
        """
        if self._draining_since is None:
            self._draining_since = time.monotonic()
            self._logger.info("draining", running=self._occupancy.running)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_timeout_s), self._looked:
                await self._looked.wait_for(self._quiet)
        left = self._occupancy.connected
        self._logger.info("drained", left=left)
        return left

    @property
    def draining(self) -> bool:
        """The Gadgetron is to get no new scans."""
        return self._draining_since is not None

    def _quiet(self) -> bool:
        asked, quiet = self._draining_since, self._occupancy.quiet_since
        if asked is None or quiet is None:
            return False
        return time.monotonic() - max(asked, quiet) >= self.settings.quiet_s

    # --- for the admin server -------------------------------------------------------------------

    def unwell_reason(self) -> str | None:
        """Why the Gadgetron is not healthy; None when it answers."""
        return None if self._failure is None else f"the Gadgetron at {self.node}: {self._failure}"

    def unready_reason(self) -> str | None:
        """Why no scan should be sent here now; None when all is well."""
        return "draining" if self.draining else self.unwell_reason()

    def status(self) -> dict[str, Any]:
        """As `elastron.node.status.status_of`, of what can be known."""
        settings = self.settings
        return {
            "capacity": settings.capacity,
            "running": self._occupancy.running,
            "draining": self.draining,
            "ready": self.unready_reason() is None,
            "capabilities": sorted(settings.capabilities),
            "memory_bytes": settings.memory_bytes,
            "sessions": self._occupancy.connected,
        }

    def describe_sessions(self) -> list[dict[str, Any]]:
        """The connections of clients, oldest first."""
        return self._occupancy.sessions(time.monotonic())

    async def workers(self) -> str:
        """Nodes that may work on parts of a scan, in the grammar of the Gadgetron's command.

        The Gadgetron itself if there is none: an empty list would be a warning in its log and the
        same result.
        """
        found: list[str] = []
        if self.settings.gateway is not None:
            try:
                found = await asyncio.to_thread(self._ask_gateway, self.settings.gateway)
            except (ElastronError, OSError) as error:
                self._logger.warning("no workers from the gateway", reason=str(error))
        return format_workers(found or [str(self.node)])

    def _ask_gateway(self, url: str) -> list[str]:
        own = str(Address(self.settings.own_host or _own_host(url), self.node.port))
        workers = gateway_workers(url, self.settings.gateway_timeout_s, exclude=own)
        return [worker for worker in workers if worker != own]

    def _readings(self) -> Readings:
        return Readings(
            running=self._occupancy.running,
            started=self._started,
            finished=self._finished,
            capacity=self.settings.capacity,
            up=self._failure is None,
        )

    # --- looking --------------------------------------------------------------------------------

    async def _repeat(
        self, do: Callable[[], Awaitable[None]], pause_s: Callable[[], float]
    ) -> None:
        while True:
            try:
                await do()
            except Exception:
                self._logger.exception("the sidecar failed")
            await asyncio.sleep(pause_s())

    async def _look(self) -> None:
        # The log first: what it tells of has a connection then, or has ended.
        if self._gadgetron_log is not None:
            await asyncio.to_thread(self._gadgetron_log.read)
        found = connections_to(self.node.port)
        own = self._prober.own
        self._occupancy.look((each for each in found if not _is(each, own)), time.monotonic())
        # What was started and has no connection any more has ended, well or not. Never backwards.
        self._finished = max(self._finished, self._started - self._occupancy.connected)
        async with self._looked:
            self._looked.notify_all()

    @property
    def _started(self) -> int:
        if self._gadgetron_log is not None:
            return self._gadgetron_log.started
        return self._occupancy.started

    async def _probe(self) -> None:
        failure = await self._prober.ask()
        if failure != self._failure:
            self._failure = failure
            if failure is None:
                self._logger.info("the Gadgetron answers", node=str(self.node))
            else:
                self._logger.warning("the Gadgetron does not answer", reason=failure)

    def _probe_pause_s(self) -> float:
        interval_s = self.settings.probe_interval_s
        return interval_s if self._failure is None else min(interval_s, _PROBE_AGAIN_S)


def _is(connection: Connection, own: Address | None) -> bool:
    return own is not None and connection.remote == own


def _own_host(url: str) -> str:
    """The address of ours from which `url` is reached; nothing is sent.

    Raises:
        OSError: it cannot be resolved, or there is no way to it.
    """
    parts = urlsplit(url)
    target = (parts.hostname or "localhost", parts.port or _HTTP_PORT)
    family, kind, protocol, _, address = socket.getaddrinfo(*target, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as sock:
        sock.connect(address)
        return str(sock.getsockname()[0])
