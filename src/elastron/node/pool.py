"""Worker processes: kept warm by the zygote, one session each, replaced in the background.

A worker serves one scan and ends: nothing of one scan (memory, state of a custom gadget, patient
data) can reach the next, and a fork costs less than it is worth to avoid. Parts of another node's
scan come one by one, each in a session of its own; a worker stays for those of the scan it has
worked on, for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from enum import StrEnum
from typing import Any

import structlog

from elastron.errors import CapacityError, ElastronError
from elastron.node.control import Channel
from elastron.node.forked import ForkedZygote
from elastron.node.settings import NodeSettings
from elastron.service.numerics import NUMERIC_ENVIRONMENT

#: The zygote tells how a worker ended at once; on a busy machine it may have to wait for a turn.
_STATUS_WAIT_S = 10.0
_TAKE_TIMEOUT_S = 30.0
_REFORK_PAUSE_S = 1.0
#: A new worker takes tens of milliseconds of a processor that a session wants for its first images.
_REFILL_PAUSE_S = 1.0
#: As long as a node waits for more data of a part before it takes it for complete.
_STAY_S = 10.0
_RESTART_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 5.0)


class WorkerState(StrEnum):
    """Life of a worker."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    STAYING = "staying"  # for another part of its scan
    GONE = "gone"


class Worker:
    """The supervisor's handle on one worker process.

    Attributes:
        scan: the mark of the scan it works on, if it is another node's.
        sessions: how many it was given.
        report: what the last session came to; None when the worker died without saying so.
        status: the process's wait status, once known; None when nobody can know it any more.
    """

    def __init__(self, number: int, channel: Channel) -> None:
        self.number = number
        self.channel = channel
        self.pid: int | None = None
        self.state = WorkerState.STARTING
        self.scan: str | None = None
        self.sessions = 0
        loop = asyncio.get_running_loop()
        self.report: asyncio.Future[dict[str, Any] | None] = loop.create_future()
        self.status: asyncio.Future[int | None] = loop.create_future()

    def begin(self, session: dict[str, Any], fds: list[int]) -> bool:
        """Hand a session over; False when the worker has just died."""
        self.sessions += 1
        if self.state is not WorkerState.GONE and self.report.done():
            self.report = asyncio.get_running_loop().create_future()
        try:
            self.channel.send({"session": session | {"part": self.scan is not None}}, fds)
        except OSError:
            return False
        return True

    def cancel(self, reason: str) -> None:
        """Ask the worker to end its session, telling the client why."""
        with contextlib.suppress(OSError):
            self.channel.send({"cancel": reason})

    def kill(self) -> None:
        """Kill the process, if it has not ended by itself."""
        # While its end of the channel is open its process id cannot have been given away.
        if self.pid is not None and self.state is not WorkerState.GONE:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def death(self) -> str:
        """How the process ended, in words."""
        with contextlib.suppress(asyncio.TimeoutError):
            status = await asyncio.wait_for(asyncio.shield(self.status), _STATUS_WAIT_S)
            if status is None:
                return "cause unknown"
            if os.WIFSIGNALED(status):
                number = os.WTERMSIG(status)
                hint = "; often: out of memory" if number == signal.SIGKILL else ""
                return f"signal {number}, {signal.Signals(number).name}{hint}"
            return f"exit status {os.waitstatus_to_exitcode(status)}"
        return "cause unknown"


class WorkerPool:
    """The zygote and its workers, seen from the supervisor's event loop.

    Args:
        settings: of the node.
        zygote: one that runs already; None, or when it has died: another is started.
    """

    def __init__(self, settings: NodeSettings, zygote: ForkedZygote | None = None) -> None:
        self._settings = settings
        self._given = zygote
        self._log = structlog.get_logger()
        self._zygote: subprocess.Popen[bytes] | ForkedZygote | None = None
        self._channel: Channel | None = None
        self._zygote_ready = False
        self._started = asyncio.Event()
        self._restarting: asyncio.Task[None] | None = None
        self._failures = 0
        self._numbers = 0
        self._workers: dict[int, Worker] = {}
        self._idle: deque[Worker] = deque()
        self._takers: deque[asyncio.Future[Worker]] = deque()
        self._closing = False

    @property
    def zygote_pid(self) -> int | None:
        """Process id of the zygote."""
        return None if self._zygote is None else self._zygote.pid

    def count(self, state: WorkerState) -> int:
        """Number of workers in `state`."""
        return sum(worker.state is state for worker in self._workers.values())

    async def start(self, *, timeout_s: float = 60) -> None:
        """Start the zygote and the first workers; returns when one is idle.

        Raises:
            ElastronError: it does not come up.
        """
        self._launch()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._started.wait(), timeout_s)
            return
        await self.close()
        raise ElastronError(
            f"no worker process came up within {timeout_s:g} s; the log above says why"
        )

    async def take(self, scan: str | None = None) -> Worker:
        """An idle worker, which is busy from now on.

        Args:
            scan: mark of another node's scan; one that has worked on it is preferred.

        Raises:
            CapacityError: none came up in time.
        """
        if scan is not None:
            for worker in self._workers.values():
                if worker.state is WorkerState.STAYING and worker.scan == scan:
                    worker.state = WorkerState.BUSY
                    return worker
        worker = await self._take_fresh()
        worker.scan = scan
        return worker

    async def _take_fresh(self) -> Worker:
        while self._idle:
            worker = self._idle.popleft()
            if worker.state is WorkerState.IDLE:
                worker.state = WorkerState.BUSY
                free = self.count(WorkerState.BUSY) < self._settings.capacity
                soon = free and not self._idle
                loop = asyncio.get_running_loop()
                loop.call_later(0 if soon else _REFILL_PAUSE_S, self._refill)
                return worker
        taker: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        self._refill()
        try:
            return await asyncio.wait_for(taker, _TAKE_TIMEOUT_S)
        except TimeoutError:
            raise CapacityError(
                f"no worker process came up within {_TAKE_TIMEOUT_S:g} s; see the node's log"
            ) from None
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled():  # given, but nobody is left to use it
                taker.result().kill()
            raise

    async def close(self) -> None:
        """End every worker and the zygote."""
        self._closing = True
        if self._restarting is not None:
            self._restarting.cancel()
        for worker in list(self._workers.values()):
            worker.kill()
            self._forget(worker)
        self._hang_up()
        await self._reap_zygote()

    # --- the zygote -----------------------------------------------------------------------------

    def _launch(self) -> None:
        if self._given is not None:
            self._zygote, self._given = self._given, None
            ours = self._zygote.channel
        else:
            self._zygote, ours = _start_zygote()
        ours.send({"settings": self._settings.model_dump(mode="json")})
        ours.socket.setblocking(False)
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._on_zygote)

    def _on_zygote(self) -> None:
        channel = self._channel
        while channel is not None and channel is self._channel:
            try:
                letter = channel.receive()
            except BlockingIOError:
                return
            if letter is None:
                self._on_zygote_death()
                return
            body = letter.body
            if "ready" in body:
                self._zygote_ready = True
                self._refill()
            elif "forked" in body:
                worker = self._workers.get(body["forked"])
                if worker is not None:
                    worker.pid = body["pid"]
            elif "failed" in body:
                self._log.error("cannot fork a worker", reason=body["error"])
                worker = self._workers.get(body["failed"])
                if worker is not None:
                    self._forget(worker)
                asyncio.get_running_loop().call_later(_REFORK_PAUSE_S, self._refill)
            elif "exited" in body:
                self._on_exit(body["exited"], body["status"])

    def _on_exit(self, pid: int, status: int) -> None:
        for worker in self._workers.values():
            if worker.pid == pid and not worker.status.done():
                worker.status.set_result(status)
                if worker.state is WorkerState.GONE:
                    self._workers.pop(worker.number, None)
                return

    def _on_zygote_death(self) -> None:
        self._hang_up()
        if self._closing:
            return
        self._log.error("the zygote died; starting another", pid=self.zygote_pid)
        for worker in list(self._workers.values()):
            if not worker.status.done():
                worker.status.set_result(None)  # their parent was the only one to know
            if worker.state is WorkerState.GONE:
                self._workers.pop(worker.number)
            elif worker.pid is None:
                self._forget(worker)
        self._restarting = asyncio.get_running_loop().create_task(self._restart())

    async def _restart(self) -> None:
        pause_s = _RESTART_PAUSES_S[min(self._failures, len(_RESTART_PAUSES_S) - 1)]
        self._failures += 1
        await self._reap_zygote()
        await asyncio.sleep(pause_s)
        self._launch()

    def _hang_up(self) -> None:
        self._zygote_ready = False
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._channel.close()
            self._channel = None

    async def _reap_zygote(self) -> None:
        if self._zygote is None:
            return
        for _ in range(200):
            if self._zygote.poll() is not None:
                return
            await asyncio.sleep(0.01)
        self._zygote.kill()  # still importing, most likely
        self._zygote.wait()

    # --- workers --------------------------------------------------------------------------------

    def _refill(self) -> None:
        if self._closing or not self._zygote_ready or self._channel is None:
            return
        wanted = self._settings.warm + len(self._takers)
        wanted -= self.count(WorkerState.IDLE) + self.count(WorkerState.STARTING)
        for made in range(wanted):
            ours, theirs = Channel.pair()
            ours.socket.setblocking(False)
            self._numbers += 1
            worker = Worker(self._numbers, ours)
            try:
                order = {"fork": worker.number, "hurry": made < len(self._takers)}
                self._channel.send(order, [theirs.fileno()])
            except OSError:  # the zygote has just died; its end of stream starts another
                ours.close()
                return
            finally:
                theirs.close()
            self._workers[worker.number] = worker
            asyncio.get_running_loop().add_reader(ours.fileno(), self._on_worker, worker)

    def _on_worker(self, worker: Worker) -> None:
        while worker.state is not WorkerState.GONE:
            try:
                letter = worker.channel.receive()
            except BlockingIOError:
                return
            if letter is None:
                self._on_worker_death(worker)
            elif "ready" in letter.body:
                worker.pid = letter.body["ready"]
                self._failures = 0
                self._started.set()
                self._offer(worker)
            elif "finished" in letter.body and not worker.report.done():
                report = letter.body["finished"]
                if report.pop("stays"):
                    self._keep(worker)
                worker.report.set_result(report)

    def _offer(self, worker: Worker) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                worker.state = WorkerState.BUSY
                taker.set_result(worker)
                self._refill()
                return
        worker.state = WorkerState.IDLE
        self._idle.append(worker)

    def _keep(self, worker: Worker) -> None:
        """Let a worker stay for more of its scan, another go if there are too many."""
        worker.state = WorkerState.STAYING
        staying = [each for each in self._workers.values() if each.state is WorkerState.STAYING]
        if len(staying) > self._settings.capacity:
            self._dismiss(min(staying, key=lambda each: each.number), None)
        loop = asyncio.get_running_loop()
        loop.call_later(_STAY_S, self._dismiss, worker, worker.sessions)

    def _dismiss(self, worker: Worker, sessions: int | None) -> None:
        """Let a worker that stays end; not if it has got a session since."""
        if worker.state is WorkerState.STAYING and sessions in (None, worker.sessions):
            self._forget(worker)  # it sees its channel close, and ends

    def _on_worker_death(self, worker: Worker) -> None:
        was = worker.state
        self._forget(worker)
        if was is WorkerState.STAYING:
            return
        if was is WorkerState.STARTING:
            self._log.error("a worker died while starting; another try in a second")
            asyncio.get_running_loop().call_later(_REFORK_PAUSE_S, self._refill)
            return
        if was is WorkerState.IDLE:
            self._log.warning("an idle worker died; it is replaced", pid=worker.pid)
        self._refill()

    def _forget(self, worker: Worker) -> None:
        if worker.state is not WorkerState.GONE:
            worker.state = WorkerState.GONE
            asyncio.get_running_loop().remove_reader(worker.channel.fileno())
            worker.channel.close()
        with contextlib.suppress(ValueError):
            self._idle.remove(worker)
        if not worker.report.done():
            worker.report.set_result(None)
        if worker.status.done() or not self._zygote_ready:
            self._workers.pop(worker.number, None)
        # Else the zygote tells the exit status in a moment, and the worker is forgotten then.


def _start_zygote() -> tuple[subprocess.Popen[bytes], Channel]:
    ours, theirs = Channel.pair()
    fd = theirs.fileno()
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "elastron.node.zygote", str(fd)],
        pass_fds=[fd],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **NUMERIC_ENVIRONMENT},
        start_new_session=True,
    )
    theirs.close()
    return process, ours
