"""Notices clients that are gone for good, while their chains compute and nobody reads or writes.

The end of a client's stream says nothing: it may still read. A reset says it, and so does a client
whose machine acknowledges nothing any more. The supervisor looks, not the worker: a gadget can keep
all threads of its process from running.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

#: As long as keep-alive takes to notice a client while nothing is on its way to it; the kernel
#: alone would repeat what is on its way for a quarter of an hour.
UNACKNOWLEDGED_S_MAX = 120.0
_LOOK_S = 10.0
#: One packet of the slowest kind, once in two minutes, may be under way just now.
_UNANSWERED_MIN = 2

# struct tcp_info of Linux, of which this much never changes.
_TCP_INFO_BYTES = 60
_RETRANSMITS_AT, _PROBES_AT, _LAST_ACK_AT = 2, 3, 56


@dataclass(frozen=True, slots=True)
class _Watch:
    sock: socket.socket
    gone: Callable[[str], None]


class Departures:
    """Watches sockets for clients that leave; on Linux, elsewhere it sees nothing.

    Args:
        unacknowledged_s_max: how long data may wait for any sign of life.
        look_s: between two looks for that.
    """

    def __init__(
        self, *, unacknowledged_s_max: float = UNACKNOWLEDGED_S_MAX, look_s: float = _LOOK_S
    ) -> None:
        self._limit_s = unacknowledged_s_max
        self._look_s = look_s
        self._watches: dict[int, _Watch] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._poll: Any = None  # select.epoll, which Linux alone has

    def start(self) -> None:
        """Begin, in the running event loop."""
        if not hasattr(select, "epoll"):
            return
        self._loop = asyncio.get_running_loop()
        self._poll = select.epoll()
        # uvloop itself tells nobody of a reset; an epoll of ours becomes readable by it.
        self._loop.add_reader(self._poll.fileno(), self._see)
        self._timer = self._loop.call_later(self._look_s, self._look)

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._loop is None or self._timer is None:
            return
        self._timer.cancel()
        self._loop.remove_reader(self._poll.fileno())
        self._poll.close()
        self._watches.clear()
        self._loop = self._poll = None

    @contextlib.contextmanager
    def watching(self, sock: socket.socket, gone: Callable[[str], None]) -> Iterator[None]:
        """Call `gone` with the reason, at most once, if the client of `sock` leaves meanwhile.

        Also called when both directions have been ended in good order: the caller knows whether
        anything was still to come.
        """
        fd = sock.fileno()
        if self._poll is None:
            yield
            return
        self._watches[fd] = _Watch(sock, gone)
        self._poll.register(fd, 0)  # errors and hang-ups are always told
        try:
            yield
        finally:
            self._forget(fd)

    def _forget(self, fd: int) -> _Watch | None:
        watch = self._watches.pop(fd, None)
        if watch is not None:
            with contextlib.suppress(OSError, ValueError):
                self._poll.unregister(fd)
        return watch

    def _see(self) -> None:
        for fd, _ in self._poll.poll(0):
            self._tell(fd, "the client has left: its connection was reset")

    def _look(self) -> None:
        if self._loop is None:
            return
        self._timer = self._loop.call_later(self._look_s, self._look)
        for fd, watch in list(self._watches.items()):
            if unacknowledged_s(watch.sock) >= self._limit_s:
                self._tell(
                    fd,
                    "the client has left: its machine acknowledged nothing for "
                    f"{self._limit_s:g} s",
                )

    def _tell(self, fd: int, reason: str) -> None:
        watch = self._forget(fd)
        if watch is not None:
            watch.gone(reason)


def unacknowledged_s(sock: socket.socket) -> float:
    """For how long a peer has left repeated packets unanswered (s); 0 while all is well.

    A peer that reads nothing answers all the same: it is not gone.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:  # no TCP, or closed
        return 0.0
    if max(info[_RETRANSMITS_AT], info[_PROBES_AT]) < _UNANSWERED_MIN:
        return 0.0
    return int.from_bytes(info[_LAST_ACK_AT : _LAST_ACK_AT + 4], sys.byteorder) / 1000
