"""Where clients come in: accepts at once, and lets those wait that say nothing.

A connection without a byte costs a socket and an entry here, nothing else. When there are too many
the one that has been silent longest goes, so that a flood of them keeps no scanner out.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
import time
from collections.abc import Callable

import structlog

from elastron.gateway.poller import Poller
from elastron.service.listening import peer_name, tune
from elastron.wire import encode
from elastron.wire.faults import LOCATION, Fault, fault_words
from elastron.wire.messages import Close, Text

#: Accepted before anything else gets its turn.
_ACCEPTED_AT_ONCE = 64
#: Descriptors are short: try again after so long.
_PAUSE_S = 0.1
_DISCARD_BYTES = 1 << 20
_SHORT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """One listening socket.

    Args:
        listener: non-blocking; closed with the door.
        poller: watches it and those that are silent.
        on_client: called with the socket of a client that has spoken (or, with `at_once`, of
            every client), and its address.
        silent_max: connections that may be silent at once.
        at_once: do not wait for a first byte.
        on_probe: told of each connection that ended without a byte, and why.
    """

    def __init__(
        self,
        listener: socket.socket,
        poller: Poller,
        on_client: Callable[[socket.socket, str], None],
        *,
        silent_max: int,
        at_once: bool = False,
        on_probe: Callable[[str], None] = lambda reason: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._poller = poller
        self._on_client = on_client
        self._silent_max = silent_max
        self._at_once = at_once
        self._on_probe = on_probe
        self._log = structlog.get_logger()
        self._silent: dict[int, tuple[socket.socket, str, float]] = {}  # oldest first
        self._open = True
        self._resuming: asyncio.TimerHandle | None = None
        self._poller.add_reader(listener.fileno(), self._accept)

    @property
    def open(self) -> bool:
        """Clients are let in."""
        return self._open

    @property
    def silent(self) -> int:
        """Connections that have not sent a byte."""
        return len(self._silent)

    def expire(self, timeout_s: float) -> None:
        """Let go connections that have been silent for so long."""
        latest = time.monotonic() - timeout_s
        while self._silent:
            fd, (_, peer, since) = next(iter(self._silent.items()))
            if since > latest:
                return
            self._log.info("client never spoke", peer=peer, seconds=timeout_s)
            self._let_go(fd, "silent", f"nothing received within {timeout_s:g} s of connecting")

    def close(self) -> None:
        """Let nobody in; connections without a byte are closed."""
        if not self._open:
            return
        self._open = False
        if self._resuming is not None:
            self._resuming.cancel()
        else:
            self._poller.remove_reader(self._listener.fileno())
        self._listener.close()
        for fd in list(self._silent):
            self._let_go(fd, "closed", fault_words(Fault.NODE_DRAINING))

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._cannot_accept(error)
                return
            sock.setblocking(False)
            tune(sock)
            peer = peer_name(address)
            if self._at_once:
                self._on_client(sock, peer)
                continue
            if len(self._silent) >= self._silent_max:
                self._let_go(next(iter(self._silent)), "pending")
            fd = sock.fileno()
            self._silent[fd] = (sock, peer, time.monotonic())
            self._poller.add_reader(fd, functools.partial(self._spoke, fd))

    def _cannot_accept(self, error: OSError) -> None:
        if error.errno not in _SHORT_OF_DESCRIPTORS:
            return  # the client has gone already
        if self._silent:
            self._let_go(next(iter(self._silent)), "pending")
            return
        self._log.warning("cannot accept a connection", reason=error.strerror)
        self._poller.remove_reader(self._listener.fileno())
        self._resuming = self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        if self._open:
            self._poller.add_reader(self._listener.fileno(), self._accept)

    def _spoke(self, fd: int) -> None:
        sock, peer, _ = self._silent.pop(fd)
        self._poller.remove_reader(fd)
        self._on_client(sock, peer)

    def _let_go(self, fd: int, reason: str, words: str | None = None) -> None:
        sock, _, _ = self._silent.pop(fd)
        self._poller.remove_reader(fd)
        if words is not None:
            refuse(sock, words)
        sock.close()
        self._on_probe(reason)


def refuse(sock: socket.socket, words: str) -> None:
    """Tell a client that it cannot be served; costs next to nothing and waits for nothing."""
    with contextlib.suppress(OSError):  # gone, or nothing was sent
        sock.recv(_DISCARD_BYTES)  # unread data would make the close a reset
    with contextlib.suppress(OSError):
        text = Text(f"[{LOCATION}] ERROR: {words}")
        sock.sendmsg([*encode(text), *encode(Close())])
