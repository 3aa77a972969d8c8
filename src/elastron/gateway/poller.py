"""Watches the sockets of clients and nodes, within the event loop.

uvloop's own `add_reader` says nothing when a connection is reset (libuv stops watching, and uvloop
calls nobody), so a client that is gone would be waited for until its time-out. A selector tells of
it; the loop watches the selector.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from collections.abc import Callable

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class _Watch:
    """Who is called for one descriptor."""

    __slots__ = ("reader", "writer")

    def __init__(self) -> None:
        self.reader: Callable[[], None] | None = None
        self.writer: Callable[[], None] | None = None

    @property
    def events(self) -> int:
        return (_READ if self.reader else 0) | (_WRITE if self.writer else 0)


class Poller:
    """As the event loop's `add_reader` and `add_writer`, for sockets only."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._selector = selectors.DefaultSelector()
        self._watches: dict[int, _Watch] = {}
        self._loop.add_reader(self._fileno(), self._dispatch)

    def close(self) -> None:
        """Watch nothing any more."""
        with contextlib.suppress(ValueError):  # closed already
            self._loop.remove_reader(self._fileno())
        self._selector.close()
        self._watches.clear()

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever there is something to read, the stream has ended, or it broke."""
        watch = self._watches.setdefault(fd, _Watch())
        before, watch.reader = watch.events, callback
        self._apply(fd, watch, before)

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever something can be written."""
        watch = self._watches.setdefault(fd, _Watch())
        before, watch.writer = watch.events, callback
        self._apply(fd, watch, before)

    def remove_reader(self, fd: int) -> None:
        """Call back no more."""
        watch = self._watches.get(fd)
        if watch is not None and watch.reader is not None:
            before, watch.reader = watch.events, None
            self._apply(fd, watch, before)

    def remove_writer(self, fd: int) -> None:
        """Call back no more."""
        watch = self._watches.get(fd)
        if watch is not None and watch.writer is not None:
            before, watch.writer = watch.events, None
            self._apply(fd, watch, before)

    # Inside

    def _fileno(self) -> int:
        return self._selector.fileno()  # type: ignore[attr-defined]  # epoll's and kqueue's have it

    def _apply(self, fd: int, watch: _Watch, before: int) -> None:
        events = watch.events
        if not events:
            self._selector.unregister(fd)
            del self._watches[fd]
        elif not before:
            self._selector.register(fd, events, watch)
        elif events != before:
            self._selector.modify(fd, events, watch)

    def _dispatch(self) -> None:
        for key, events in self._selector.select(0):
            watch: _Watch = key.data
            # What came before may have removed either, or closed the descriptor.
            if events & _READ and watch.reader is not None:
                self._call(watch.reader)
            if events & _WRITE and watch.writer is not None:
                self._call(watch.writer)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "a connection's callback failed", "exception": error}
            )
