"""One process that is to run as long as the fleet: the gateway, the storage server.

It is adopted if it runs already, started if not, and started again where it was when it crashes.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from elastron.errors import ElastronError
from elastron.fleet.local.backoff import Backoff
from elastron.fleet.local.folder import Order, Record, Role, StateFolder, digest
from elastron.fleet.local.launch import Launcher

_LOOK_S = 0.1


class Keeper:
    """Keeps one process running.

    Args:
        folder: of the fleet.
        role: of the process; its name as well.
        settings: of its role.
        launcher: starts it.
        lease_s: how long it goes on alone.
        pin: settings with the addresses of a record; a restarted process listens where it did.
    """

    def __init__(
        self,
        folder: StateFolder,
        role: Role,
        settings: Mapping[str, Any],
        launcher: Launcher,
        *,
        lease_s: float,
        pin: Callable[[dict[str, Any], Record], dict[str, Any]],
    ) -> None:
        self.name = role.value
        self.restarts = 0
        self._folder = folder
        self._launcher = launcher
        self._pin = pin
        self._order = Order(
            self.name, role, settings=dict(settings), lease_s=lease_s, digest=digest(settings)
        )
        self._backoff = Backoff()
        self._asked = 0.0
        self._record: Record | None = None
        self._log = structlog.get_logger()

    @property
    def record(self) -> Record | None:
        """What the process says of itself."""
        return self._record

    async def begin(self) -> None:
        """Adopt the process if it runs and is as it should be; else start it."""
        record, order = self._folder.record(self.name), self._folder.order(self.name)
        if record is None and order is not None:
            self._folder.withdraw_order(self.name)
            record = self._folder.record(self.name)  # it may have begun in between
        if record is not None and record.alive:
            same = order is not None and order.digest == self._order.digest
            if same and not self._folder.leaving(self.name):
                self._log.info(f"{self.name} adopted", pid=record.identity.pid)
                self._asked, self._record = time.monotonic(), record
                return
            self._log.info(f"{self.name} is replaced", pid=record.identity.pid)
            self._folder.mark_leaving(self.name)
            record.identity.signal(signal.SIGTERM)
            while record.alive:  # noqa: ASYNC110 - another process's end
                await asyncio.sleep(_LOOK_S)
        self._folder.forget(self.name)
        self._start()

    async def ready(self, timeout_s: float) -> Record:
        """Wait until it serves.

        Raises:
            ElastronError: it ended, or does not get ready.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            record = self._refresh()
            if record is not None and record.ready:
                return record
            if self._lost():
                break
            await asyncio.sleep(_LOOK_S / 2)
        said = _last_words(self._folder, self.name)
        raise ElastronError(
            f"The {self.name} did not start. "
            + (f"It said: {said}" if said else f"See {self._folder.log_path(self.name)}.")
        )

    async def keep(self) -> None:
        """Start it again whenever it crashes, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._folder.leaving(self.name) or not self._lost():
                self._refresh()
                continue
            now = time.monotonic()
            pause_s = self._backoff.crashed(now, now - self._asked)
            self._log.error(
                f"{self.name} crashed",
                log=str(self._folder.log_path(self.name)),
                next_start_s=pause_s,
            )
            if self._record is not None and self._record.ready:
                pinned = self._pin(dict(self._order.settings), self._record)
                self._order = replace(self._order, settings=pinned)
            self._folder.forget(self.name)
            await asyncio.sleep(pause_s)
            self.restarts += 1
            self._start()

    async def stop(self) -> None:
        """Let it end in good order, and wait for that."""
        self._folder.mark_leaving(self.name)
        self.terminate()
        while self.alive:  # noqa: ASYNC110 - another process's end
            await asyncio.sleep(_LOOK_S / 2)
        self._folder.forget(self.name)

    @property
    def alive(self) -> bool:
        """It runs."""
        record = self._refresh()
        return record is not None and record.alive

    def terminate(self) -> None:
        """Ask it to end; a second time: at once."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        record = self._refresh()
        if record is None:
            self._folder.withdraw_order(self.name)
            record = self._refresh()
        if record is not None:
            record.identity.signal(number)
            record.identity.signal(signal.SIGCONT)  # one that is stopped would not hear of it

    def _start(self) -> None:
        self._asked, self._record = time.monotonic(), None
        self._folder.write_order(self._order)
        self._launcher.launch(self.name)

    def _refresh(self) -> Record | None:
        if self._record is None or not self._record.ready:
            self._record = self._folder.record(self.name)
        return self._record

    def _lost(self) -> bool:
        """It has ended, or never begun."""
        gone = self._launcher.lost(self.name)  # which also reaps it
        record = self._refresh()
        return gone if record is None else not record.alive


def _last_words(folder: StateFolder, name: str) -> str:
    try:
        lines = folder.log_path(name).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].removeprefix("error: ")[:500] if lines else ""
