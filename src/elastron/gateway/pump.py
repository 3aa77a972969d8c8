"""Sends a journal to a link, from memory at once and from disk by and by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from elastron.gateway.journal import Journal
from elastron.gateway.links import Link

#: Sent before other connections get their turn.
_TURN_BYTES = 4 << 20


class Pump:
    """Moves bytes as long as the link takes them.

    Args:
        journal: to read.
        link: to send to.
        on_sent: told after some were sent.
        on_failed: told when the journal's disk cannot be read.

    Attributes:
        at: offset behind the last byte sent.
        limit: offset behind the last byte that may be sent.
        last_sent: when something was sent, or there was nothing to send (monotonic, s).
    """

    def __init__(
        self,
        journal: Journal,
        link: Link,
        *,
        at: int = 0,
        on_sent: Callable[[], None],
        on_failed: Callable[[OSError], None],
    ) -> None:
        self._journal = journal
        self._link = link
        self._on_sent = on_sent
        self._on_failed = on_failed
        self._loaded: tuple[int, memoryview] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._stopped = False
        self.at = at
        self.limit = at
        self.last_sent = time.monotonic()

    @property
    def idle(self) -> bool:
        """All that may be sent was sent."""
        return self.at >= self.limit

    def go(self, limit: int | None = None) -> None:
        """Send what can be sent now.

        Args:
            limit: the new one, if it has moved.
        """
        if self.idle:
            self.last_sent = time.monotonic()
        if limit is not None:
            self.limit = limit
        began_at = self.at
        while not self._stopped and self._loading is None:
            if self.at - began_at >= _TURN_BYTES:
                asyncio.get_running_loop().call_soon(self.go)
                break
            self.at = at = min(self._journal.skip(self.at), max(self.limit, self.at))
            if at >= self.limit:
                break
            piece = self._piece(at)
            if piece is None:
                self._loading = asyncio.create_task(self._load(at))
                break
            count = self._link.send(piece[: self.limit - at])
            if count == 0:
                break
            self.at = at + count
        if self.at > began_at:
            self.last_sent = time.monotonic()
            self._journal.reading_at = self.at
            self._on_sent()

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True
        if self._loading is not None:
            self._loading.cancel()

    def _piece(self, at: int) -> memoryview | None:
        if self._loaded is not None:
            start, data = self._loaded
            if start <= at < start + len(data):
                return data[at - start :]
            self._loaded = None
        return self._journal.view(at)

    async def _load(self, at: int) -> None:
        try:
            self._loaded = (at, await self._journal.read(at))
        except OSError as error:
            self._on_failed(error)
            return
        finally:
            self._loading = None
        self.go()
