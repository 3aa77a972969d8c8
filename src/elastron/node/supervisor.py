"""The supervisor: accepts connections, gives each to a worker process, watches, cleans up.

It reads nothing of a scan but its first bytes, to see whether another node sends a part of a scan
that a worker is warm for; so whatever a client sends, it cannot harm the node itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from typing import Any, Self

import structlog

from elastron.errors import CapacityError
from elastron.node import farewell
from elastron.node.admin import admin_server
from elastron.node.departures import Departures
from elastron.node.doorstep import Doorstep, warn_of_open_doors
from elastron.node.forked import ForkedZygote
from elastron.node.metrics import NodeMetrics
from elastron.node.outcome import Outcome
from elastron.node.pool import Worker, WorkerPool, WorkerState
from elastron.node.running import RunningSession
from elastron.node.scoreboard import Scoreboard
from elastron.node.settings import NodeSettings, available_cores
from elastron.node.status import status_of
from elastron.service.address import Address
from elastron.service.listening import listen, peer_name, tune
from elastron.wire.faults import Fault, fault_words
from elastron.wire.scan_mark import mark_of

_ACCEPT_PAUSE_S = 0.1
#: Sessions beyond twice the capacity that may wait for their clients to leave.
_LEAVING_MAX = 16
#: A worker that has said CLOSE reports within this time, as a rule.
_REPORT_WAIT_S = 0.5


class Node:
    """A reconstruction node.

    `async with Node(settings) as node:` starts it and, at the end, stops it at once; call `drain`
    before to let running sessions finish.

    Args:
        settings: of the node.
        zygote: one forked already; None: the node starts one.

    Attributes:
        address: where it listens, with the port it was given.
        admin_address: of the admin HTTP server, or None.
        metrics: Prometheus metrics.
        draining: no new sessions any more.
    """

    def __init__(self, settings: NodeSettings, zygote: ForkedZygote | None = None) -> None:
        self.settings = settings
        self.address = Address.parse(settings.listen)
        self.admin_address: Address | None = None
        self.draining = False
        self._log = structlog.get_logger()
        self._pool = WorkerPool(settings, zygote)
        self._sessions: dict[str, RunningSession] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._departures = Departures()
        self._unoccupied = asyncio.Event()
        self._unoccupied.set()
        self._traffic = [0, 0]
        self._listener: socket.socket | None = None
        # Silent ones, sessions, and as many that are being refused.
        self._connections_max = 2 * (settings.pending_connections_max + settings.capacity)
        self._accepting: asyncio.Task[None] | None = None
        self._stack = contextlib.AsyncExitStack()
        self.metrics = NodeMetrics(
            capacity=settings.capacity,
            running=lambda: self.running,
            traffic=self._bytes,
            idle_workers=lambda: self._pool.count(WorkerState.IDLE),
        )
        self._doorstep = Doorstep(settings, self.metrics)

    @property
    def port(self) -> int:
        """The port scans go to."""
        return self.address.port

    @property
    def pool(self) -> WorkerPool:
        """The worker processes."""
        return self._pool

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start workers, listen for scans and for the admin.

        Raises:
            ElastronError: an address is taken, or no worker comes up.
        """
        self._listener, self.address = listen(self.address)
        self._departures.start()
        try:
            await self._pool.start()
            if self.settings.admin is not None:
                self.admin_address = await self._stack.enter_async_context(
                    admin_server(self, Address.parse(self.settings.admin))
                )
        except BaseException:
            await self.stop()
            raise
        warn_of_open_doors(self._log, scans=self.address, admin=self.admin_address)
        self._accepting = asyncio.create_task(self._accept(self._listener))
        self._log.info(
            "node is ready",
            listen=str(self.address),
            admin=None if self.admin_address is None else str(self.admin_address),
            capacity=self.settings.capacity,
        )

    async def stop(self) -> None:
        """End everything at once; running sessions are told so, then killed."""
        await self._stop_accepting()
        for session in list(self._sessions.values()):
            self._stop_session(session, fault_words(Fault.NODE_STOPPED), Outcome.CANCELLED)
        if self._connections:
            await asyncio.wait(self._connections, timeout=self.settings.cancel_grace_s)
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.gather(*self._connections, return_exceptions=True)
        self._departures.stop()
        await self._stack.aclose()
        await self._pool.close()

    async def drain(self, timeout_s: float | None = None) -> int:
        """Stop accepting and wait until the running sessions are done.

        Args:
            timeout_s: after which they are cancelled; None: `drain_timeout_s` of the settings.

        Returns:
            How many sessions had to be cancelled.
        """
        if timeout_s is None:
            timeout_s = self.settings.drain_timeout_s
        if not self.draining:
            self.draining = True
            self._log.info("draining", running=len(self._sessions))
            await self._stop_accepting()
            self._doorstep.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._unoccupied.wait(), timeout_s)
        left = list(self._sessions.values())
        for session in left:
            words = fault_words(Fault.NODE_STOPPED, f"; it waited {timeout_s:g} s, then went down")
            self._stop_session(session, words, Outcome.CANCELLED)
        while self._connections:
            await asyncio.wait(self._connections)
        self._log.info("drained", cancelled=len(left))
        return len(left)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    # --- for the admin server -------------------------------------------------------------------

    def unready_reason(self) -> str | None:
        """Why no scan should be sent here now; None when all is well."""
        if self.draining:
            return "draining"
        if self._accepting is None or self._accepting.done():
            return "not listening"
        if not self._pool.count(WorkerState.IDLE) and not self._sessions:
            return "no worker process is up"
        return None

    def describe_sessions(self) -> list[dict[str, Any]]:
        """The running sessions, oldest first."""
        return [session.describe() for session in self._sessions.values()]

    def cancel(self, session_id: str, reason: str) -> bool:
        """End a session, telling its client why; False if there is none of that id."""
        session = self._sessions.get(session_id)
        if session is None:
            return False
        self._stop_session(session, reason, Outcome.CANCELLED)
        return True

    def _bytes(self) -> tuple[int, int]:
        boards = [session.board for session in self._sessions.values()]
        return (
            self._traffic[0] + sum(board.bytes_in for board in boards),
            self._traffic[1] + sum(board.bytes_out for board in boards),
        )

    # --- connections ----------------------------------------------------------------------------

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors, or the client has gone already
                self._log.warning("cannot accept a connection", reason=error.strerror)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            task = asyncio.create_task(self._serve(sock, peer_name(address)))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _stop_accepting(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _serve(self, sock: socket.socket, peer: str) -> None:
        tune(sock)
        session_id = secrets.token_hex(4)
        log = self._log.bind(session=session_id)
        log.debug("connected", peer=peer)
        try:
            if len(self._connections) > self._connections_max:
                self.metrics.refused.labels("flood").inc()
                return  # without a word: words cost time and descriptors
            opening = b""
            if self._refusal() is None and not (
                opening := await self._doorstep.first_bytes(sock, log, peer)
            ):
                return
            if (refusal := self._refusal()) is not None:
                reason, text = refusal
                self.metrics.refused.labels(reason).inc()
                log.warning("refused", peer=peer, reason=text)
                await farewell.refuse(sock, text, self.settings)
                return
            session = RunningSession(
                session_id, peer, sock, Scoreboard(), log, scan=mark_of(opening)
            )
            self._sessions[session_id] = session
            self._unoccupied.clear()
            try:
                await self._run_session(session)
            finally:
                self._traffic[0] += session.board.bytes_in
                self._traffic[1] += session.board.bytes_out
                self._sessions.pop(session_id, None)
                if not self._sessions:
                    self._unoccupied.set()
                session.board.close()
        except Exception:
            log.exception("session failed in the supervisor")
        finally:
            sock.close()

    @property
    def running(self) -> int:
        """Sessions that take a place; one that only waits for its client to leave does not."""
        return sum(session.board.state.running for session in self._sessions.values())

    def _refusal(self) -> tuple[str, str] | None:
        running, capacity = self.running, self.settings.capacity
        if self.draining:
            return "draining", fault_words(Fault.NODE_DRAINING, "; try again, or use the gateway")
        if running >= capacity or len(self._sessions) >= 2 * capacity + _LEAVING_MAX:
            return "full", fault_words(
                Fault.NODE_FULL,
                f" ({running} of {capacity} sessions running); try again, or use the gateway",
            )
        if (silent := len(self._doorstep)) >= self.settings.pending_connections_max:
            return "pending", fault_words(
                Fault.NODE_FULL, f": {silent} connections wait without having sent a byte"
            )
        return None

    # --- sessions -------------------------------------------------------------------------------

    async def _run_session(self, session: RunningSession) -> None:
        self.metrics.started.inc()
        outcome, detail = Outcome.ERROR, {}
        try:
            outcome, detail = await self._work(session)
        finally:
            seconds = time.monotonic() - session.started
            self.metrics.finished.inc()
            self.metrics.images.inc(session.board.images)
            self.metrics.sessions.labels(outcome.value).inc()
            self.metrics.session_seconds.observe(seconds)
            if detail.get("memory_bytes") is not None:
                self.metrics.session_memory.observe(detail["memory_bytes"])
            level = session.log.info if outcome is Outcome.OK else session.log.warning
            summary = session.describe() | {"seconds": round(seconds, 3), "outcome": outcome.value}
            for name in ("id", "state", "pid"):
                summary.pop(name)
            level("session ended", **summary, **detail)

    async def _work(self, session: RunningSession) -> tuple[Outcome, dict[str, Any]]:
        try:
            worker, reported = await self._hand_over(session)
        except CapacityError as error:
            words = fault_words(Fault.NODE_FULL, f": {error}")
            await farewell.refuse(session.sock, words, self.settings)
            return Outcome.ERROR, {"reason": str(error)}
        try:
            with self._departures.watching(session.sock, lambda why: self._left(session, why)):
                report = await asyncio.wait_for(
                    asyncio.shield(reported), self.settings.total_timeout_s
                )
        except TimeoutError:
            self._stop_session(
                session,
                f"session lasted longer than {self.settings.total_timeout_s:g} s",
                Outcome.TIMEOUT,
            )
            report = await reported
        except asyncio.CancelledError:
            worker.kill()
            raise
        if report is None:
            return await self._mourn(session, worker)
        outcome = Outcome(report.pop("outcome"))
        if session.stop_reason is not None and outcome is not Outcome.OK:
            outcome = session.stop_outcome
        return outcome, report

    async def _hand_over(
        self, session: RunningSession
    ) -> tuple[Worker, asyncio.Future[dict[str, Any] | None]]:
        if session.scan is not None:
            await self._part_before(session.scan)
        running = max(1, self.running)
        share = available_cores() // running - 1  # one to receive with
        letter = {
            "id": session.id,
            "threads": self.settings.threads_per_session or max(1, share),
            # It may only want to know whether there is a place, so it does not count itself.
            "status": status_of(self) | {"running": running - 1},
        }
        while True:
            worker = await self._pool.take(session.scan)
            if worker.begin(letter, [session.sock.fileno(), session.board.fd]):
                session.worker, session.report = worker, worker.report
                session.log.info("session begins", peer=session.peer, worker=worker.pid)
                if session.stop_reason is not None:
                    session.insist(session.stop_reason, self.settings.cancel_grace_s)
                return worker, session.report

    async def _part_before(self, scan: str) -> None:
        """Wait for the worker of a part whose parent has all of it, and sends the next one."""
        for each in self._sessions.values():
            if each.scan == scan and each.report is not None and not each.board.state.running:
                await asyncio.wait({each.report}, timeout=_REPORT_WAIT_S)
                return

    async def _mourn(
        self, session: RunningSession, worker: Worker
    ) -> tuple[Outcome, dict[str, Any]]:
        """A worker has died: say so in the log, and to the client if its stream is whole."""
        if session.stop_reason is not None:
            outcome, text = session.stop_outcome, session.stop_reason
        else:
            outcome = Outcome.CRASHED
            text = fault_words(
                Fault.WORKER_LOST, f" ({await worker.death()}); other sessions are not affected"
            )
        tell = outcome is not Outcome.LOST and not session.board.writing
        session.log.error("worker died", worker=worker.pid, reason=text, client_told=tell)
        await farewell.refuse(session.sock, text if tell else None, self.settings)
        return outcome, {"reason": text}

    def _left(self, session: RunningSession, reason: str) -> None:
        if session.board.state.running:  # else it has all it is going to get
            self._stop_session(session, reason, Outcome.LOST)

    def _stop_session(self, session: RunningSession, reason: str, outcome: Outcome) -> None:
        """Ask a session to end; insist after a while."""
        if session.stop_reason is not None:
            return
        session.stop_reason, session.stop_outcome = reason, outcome
        session.log.warning("session is stopped", reason=reason)
        session.insist(reason, self.settings.cancel_grace_s)
