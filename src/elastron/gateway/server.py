"""The gateway: lets clients in, and holds the parts that their sessions use."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
import secrets
import socket
import time
from collections import Counter
from typing import Any, Self

import structlog

from elastron.gateway.admin import admin_server
from elastron.gateway.archive import Archive
from elastron.gateway.door import Door, refuse
from elastron.gateway.events import Events
from elastron.gateway.journal_space import JournalSpace
from elastron.gateway.links import Link, SocketLink, TlsLink
from elastron.gateway.metrics import Metrics, Readings
from elastron.gateway.nodes import Registry
from elastron.gateway.placement import Placer
from elastron.gateway.poller import Poller
from elastron.gateway.results import Results
from elastron.gateway.session import Session
from elastron.gateway.settings import GatewaySettings
from elastron.gateway.tls import Tls, TlsPeer
from elastron.service.address import Address
from elastron.service.listening import listen
from elastron.wire.faults import Fault, fault_words

_TICK_S = 0.5
#: Ticks between two looks at memory that is not needed, and at results that are too old.
_TRIM_TICKS = 2
#: Descriptors for everything but clients and nodes: listeners, admin, journals, libraries.
_DESCRIPTORS_OWN = 256
#: At the stop, for sessions to leave their nodes and for the archive to write what it has begun.
_STOP_S = 60.0


class Gateway:
    """A front door of a fleet.

    `async with Gateway(settings) as gateway:` starts it and, at the end, stops it at once; call
    `drain` before to let running scans finish.

    Attributes:
        settings: as given.
        address: where it listens without TLS, with the port it was given; None: nowhere.
        tls_addresses: where it listens with TLS.
        admin_address: of the admin HTTP server, or None.
        draining: no new scans any more.
        sessions: by id, oldest first.
        journal_space, registry, placer, events, metrics, archive, results: its parts.
        log: for sessions.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.address: Address | None = None
        self.tls_addresses: list[Address] = []
        self.admin_address: Address | None = None
        self.draining = False
        self.sessions: dict[str, Session] = {}
        self.log: Any = structlog.get_logger()
        self.events = Events()
        self.metrics = Metrics(self._readings)
        self.journal_space = JournalSpace(settings.journal)
        self.registry = Registry(settings.registry, self.events)
        self.placer = Placer(self.registry, settings.placement, self.events)
        self.archive = Archive(settings.archive, on_done=lambda ok: self.metrics.archived(ok=ok))
        self.results = Results(settings.results)
        self._poller: Poller | None = None
        self._tls: list[Tls] = []
        self._doors: list[Door] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._unoccupied = asyncio.Event()
        self._unoccupied.set()
        self._traffic = [0, 0]
        self._ticking: asyncio.Task[None] | None = None
        self._stack = contextlib.AsyncExitStack()

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Look for nodes, listen for scans and for the admin.

        Raises:
            ElastronError: an address is taken, or a folder or a key cannot be used.
        """
        stack = self._stack
        try:
            self._poller = Poller()
            stack.callback(self._poller.close)
            listeners = self._listen()
            stack.push_async_callback(self.journal_space.stop)
            self.journal_space.start()
            stack.callback(self.results.close)
            stack.push_async_callback(self.archive.stop)
            await self.archive.start()
            for tls in self._tls:
                stack.push_async_callback(tls.stop)
                await tls.start()
            stack.push_async_callback(self.registry.stop)
            await self.registry.start()
            if self.settings.admin is not None:
                self.admin_address = await stack.enter_async_context(
                    admin_server(self, Address.parse(self.settings.admin))
                )
            self._warn_of_open_doors()
            self._open_doors(listeners)
        except BaseException:
            await self.stop()
            raise
        self._ticking = asyncio.create_task(self._tick())
        self.log.info(
            "gateway is ready",
            listen=None if self.address is None else str(self.address),
            tls=[str(address) for address in self.tls_addresses],
            admin=None if self.admin_address is None else str(self.admin_address),
            nodes=len(self.registry.nodes()),
        )

    async def stop(self) -> None:
        """End everything at once."""
        self._close_doors()
        for session in list(self.sessions.values()):
            session.abort()
        if self._tasks:  # what is being archived comes to its end
            await asyncio.wait(self._tasks, timeout=_STOP_S)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        await self._stack.aclose()

    async def drain(self, timeout_s: float | None = None) -> int:
        """Stop accepting and wait until the running scans are done.

        Args:
            timeout_s: after which they are cancelled; None: `drain_timeout_s` of the settings.

        Returns:
            How many scans had to be cancelled.
        """
        if timeout_s is None:
            timeout_s = self.settings.drain_timeout_s
        if not self.draining:
            self.draining = True
            self.log.info("draining", running=len(self.sessions))
            self._close_doors()
            for session in list(self.sessions.values()):  # by TLS they are there before a byte
                session.leave_if_silent(fault_words(Fault.NODE_DRAINING))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._unoccupied.wait(), timeout_s)
        left = list(self.sessions.values())
        for session in left:
            session.cancel(f"the gateway waited {timeout_s:g} s, then went down")
        if left:
            with contextlib.suppress(TimeoutError):
                grace_s = self.settings.linger_timeout_s
                await asyncio.wait_for(self._unoccupied.wait(), grace_s)
        self.log.info("drained", cancelled=len(left))
        return len(left)

    def _close_doors(self) -> None:
        for door in self._doors:
            door.close()
        for tls in self._tls:
            tls.abandon()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def reload(self) -> None:
        """Read keys and certificates again (SIGHUP)."""
        for tls in self._tls:
            tls.reload()

    # --- for the admin --------------------------------------------------------------------------

    def unready_reason(self) -> str | None:
        """Why no scan should be sent here now; None when all is well."""
        if self.draining:
            return "draining"
        if not self._doors or not all(door.open for door in self._doors):
            return "not listening"
        return None

    def status(self) -> dict[str, Any]:
        """The fleet in a few numbers, for the query `elastron::status`."""
        pools = self.placer.pools().values()
        return {
            "role": "gateway",
            "nodes": len(self.registry.nodes()),
            "capacity": sum(pool["capacity"] for pool in pools),
            "running": sum(pool["running"] for pool in pools),
            "queued": sum(pool["queued"] for pool in pools),
            "sessions": len(self.sessions),
            "draining": self.draining,
            "ready": self.unready_reason() is None,
        }

    @property
    def poller(self) -> Poller:
        """Watches the sockets."""
        if self._poller is None:
            raise AssertionError("the gateway was not started")
        return self._poller

    def cancel(self, session_id: str, reason: str) -> bool:
        """End a session, telling its client why; False if there is none of that id."""
        session = self.sessions.get(session_id)
        if session is None:
            return False
        session.cancel(reason)
        return True

    def _readings(self) -> Readings:
        sessions = self.sessions.values()
        handshakes = sum((tls.outcomes for tls in self._tls), Counter())
        return Readings(
            nodes=self.registry.nodes(),
            demand=self.placer.demand(),
            bytes_in=self._traffic[0] + sum(session.bytes_in for session in sessions),
            bytes_out=self._traffic[1] + sum(session.bytes_out for session in sessions),
            journal_memory_bytes=self.journal_space.memory_bytes,
            journal_disk_bytes=self.journal_space.disk_bytes,
            archive_bytes=self.archive.bytes if self.archive.active else None,
            results_bytes=self.results.bytes,
            events_subscribers=self.events.subscribers,
            tls_handshakes=handshakes if self._tls else None,
            tls_shaking=sum(tls.shaking for tls in self._tls),
        )

    # --- clients --------------------------------------------------------------------------------

    def _listen(self) -> list[tuple[socket.socket, Tls | None]]:
        listeners: list[tuple[socket.socket, Tls | None]] = []
        if self.settings.listen is not None:
            sock, self.address = listen(Address.parse(self.settings.listen))
            self._stack.callback(sock.close)
            listeners.append((sock, None))
        for settings in self.settings.tls:
            sock, address = listen(Address.parse(settings.listen))
            self._stack.callback(sock.close)
            self.tls_addresses.append(address)
            tls = Tls(settings)
            self._tls.append(tls)
            listeners.append((sock, tls))
        return listeners

    def _open_doors(self, listeners: list[tuple[socket.socket, Tls | None]]) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        descriptors = (soft - _DESCRIPTORS_OWN) // 2
        silent_max = max(1, min(self.settings.pending_connections_max, descriptors))
        for sock, tls in listeners:
            on_client = (
                self._plain_client if tls is None else functools.partial(self._tls_client, tls)
            )
            self._doors.append(
                Door(
                    sock,
                    self.poller,
                    on_client,
                    silent_max=silent_max,
                    at_once=tls is not None,
                    on_probe=self._probe,
                )
            )

    def _probe(self, reason: str) -> None:
        if reason == "pending":
            self.metrics.refused("pending")

    def _plain_client(self, sock: socket.socket, peer: str) -> None:
        reason = self._refusal()
        if reason is not None:
            refuse(sock, reason)
            sock.close()
            return
        self._begin(SocketLink(sock, self.poller), peer)

    def _tls_client(self, tls: Tls, sock: socket.socket, peer: str) -> None:
        task = asyncio.create_task(self._shake_hands(tls, sock, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _shake_hands(self, tls: Tls, sock: socket.socket, peer: str) -> None:
        made = await tls.accept(sock, peer, TlsLink)
        if made is None:
            return
        _, link, who = made
        if self._refusal() is not None:
            link.close()
            return
        self._begin(link, peer, who)

    def _refusal(self) -> str | None:
        if self.draining:
            return fault_words(Fault.NODE_DRAINING)
        if len(self.sessions) >= self.settings.sessions_max:
            self.metrics.refused("full")
            return f"the gateway has {len(self.sessions)} scans and takes no more; try again later"
        return None

    def _begin(self, link: Link, peer: str, who: TlsPeer | None = None) -> None:
        session_id = secrets.token_hex(4)
        session = Session(session_id, peer, link, self, tenant="" if who is None else who.tenant)
        self.sessions[session_id] = session
        self._unoccupied.clear()
        task = asyncio.create_task(session.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ended(self, session: Session) -> None:
        """A session has ended; it calls this itself."""
        self._traffic[0] += session.bytes_in
        self._traffic[1] += session.bytes_out
        self.sessions.pop(session.id, None)
        if not self.sessions:
            self._unoccupied.set()

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_TICK_S)
            ticks += 1
            now = time.monotonic()
            for door in self._doors:
                door.expire(self.settings.handshake_timeout_s)
            for session in list(self.sessions.values()):
                try:
                    session.tick(now)
                except Exception:
                    session.log.exception("a session's time-outs could not be looked at")
            if ticks % _TRIM_TICKS == 0:
                self.journal_space.trim()
                self.results.expire()

    def _warn_of_open_doors(self) -> None:
        if self.address is not None and not self.address.loopback:
            self.log.warning(
                "listening for scans beyond this machine, without encryption or password; "
                "keep the network closed, or use TLS",
                listen=str(self.address),
            )
        if self.admin_address is not None and not self.admin_address.loopback:
            self.log.warning(
                "listening for the admin beyond this machine, without password; keep the network "
                "closed",
                listen=str(self.admin_address),
            )
