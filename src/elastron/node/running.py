"""A session as the supervisor knows it."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from elastron.node.outcome import Outcome
from elastron.node.pool import Worker
from elastron.node.scoreboard import Scoreboard


@dataclass(eq=False)
class RunningSession:
    """A session that has, or is about to have, a worker.

    Attributes:
        id: for logs and the admin.
        peer: the client's address.
        sock: the client's; the worker has it too.
        board: what the worker tells while it works.
        log: bound with the id.
        scan: mark of another node's scan of which this is a part.
        worker: None until one is free.
        report: what the worker says at the end.
        started: at the client's first byte (monotonic, s).
        stop_reason: told the client, once somebody wants the session to end.
        stop_outcome: what it then counts as.
    """

    id: str
    peer: str
    sock: socket.socket
    board: Scoreboard
    log: Any
    scan: str | None = None
    worker: Worker | None = None
    report: asyncio.Future[dict[str, Any] | None] | None = None
    started: float = field(default_factory=time.monotonic)
    stop_reason: str | None = None
    stop_outcome: Outcome = Outcome.CANCELLED

    def insist(self, reason: str, grace_s: float) -> None:
        """Ask the worker to end the session, if it has one; kill it after so long (s)."""
        worker, report = self.worker, self.report
        if worker is None or report is None or report.done():
            return  # the worker may have another session by now

        def kill() -> None:
            if report is worker.report:
                worker.kill()

        worker.cancel(reason)
        asyncio.get_running_loop().call_later(grace_s, kill)

    def describe(self) -> dict[str, Any]:
        """For `/sessions`; nothing of the patient."""
        return {
            "id": self.id,
            "peer": self.peer,
            "config": self.board.config_name,
            "state": self.board.state.name,
            "seconds": round(time.monotonic() - self.started, 3),
            "bytes_in": self.board.bytes_in,
            "bytes_out": self.board.bytes_out,
            "acquisitions": self.board.acquisitions,
            "images": self.board.images,
            "pid": None if self.worker is None else self.worker.pid,
        }
