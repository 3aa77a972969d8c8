"""The node's end of a session: the journal goes there, what comes back goes to the output."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import os
import select
import socket
import time
from typing import Any, Protocol

from elastron.errors import ConnectError
from elastron.gateway.journal import Journal
from elastron.gateway.links import Link
from elastron.gateway.output import Output
from elastron.gateway.poller import Poller
from elastron.gateway.pump import Pump
from elastron.service.address import Address
from elastron.service.listening import tune

#: A node that is cut off while it computes is noticed after 20 s; with data on the way, by the
#: registry's probes. No TCP_USER_TIMEOUT: it would end connections to nodes that only take a long
#: time over a step.
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


class Owner(Protocol):
    """Who is told what the node does."""

    def node_took(self) -> None:
        """It took something."""
        ...

    def node_lost(self, reason: str) -> None:
        """Its connection has ended."""
        ...

    def input_lost(self, error: OSError) -> None:
        """What was kept on disk cannot be read."""
        ...


class NodeSide:
    """One attempt at one node; the `End` of its link.

    Args:
        link: to it.
        journal: what it is sent.
        output: where its messages go.
        owner: who is told.

    Attributes:
        pump: sends the journal.
    """

    def __init__(self, link: Link, journal: Journal, output: Output, owner: Owner) -> None:
        self._link = link
        self._output = output
        self._owner = owner
        self._last_byte = time.monotonic()
        self._closed = False
        self._half_close = False
        journal.reading_at = 0
        self.pump = Pump(journal, self._link, on_sent=self._took, on_failed=owner.input_lost)

    @property
    def last_moved(self) -> float:
        """When it last took or gave something, or was given nothing to take (monotonic, s)."""
        return max(self._last_byte, self.pump.last_sent)

    def start(self) -> None:
        """Begin."""
        self._output.begin()
        self._link.start(self)

    def go(self, limit: int, *, half_close: bool = False) -> None:
        """Send the journal up to `limit`.

        Args:
            limit: offset.
            half_close: end our stream behind it.
        """
        self._half_close = self._half_close or half_close
        self.pump.go(limit)
        self._end_if_done()

    def resume(self) -> None:
        """There is room for its output again."""
        if not self._closed:
            self._link.resume()

    def close(self, *, finished: bool) -> None:
        """Leave the node; a second call does nothing.

        Args:
            finished: it has given all. Else it is to stop: a stream's mere end would tell it to
                reconstruct what it has.
        """
        if not self._closed:
            self._closed = True
            self.pump.stop()
            self._link.close(reset=not finished)
            self._output.end()

    # --- End ------------------------------------------------------------------------------------

    def get_buffer(self) -> memoryview | None:
        """See `End`."""
        return self._output.get_buffer()

    def received(self, count: int) -> None:
        """See `End`."""
        self._last_byte = time.monotonic()
        self._output.received(count)

    def ended(self) -> None:
        """See `End`."""
        self._owner.node_lost("it closed the connection before it was done")

    def broken(self, reason: str) -> None:
        """See `End`."""
        self._owner.node_lost(f"connection lost: {reason}")

    def writable(self) -> None:
        """See `End`."""
        self.pump.go()
        self._end_if_done()

    # Inside

    def _took(self) -> None:
        self._end_if_done()
        self._owner.node_took()

    def _end_if_done(self) -> None:
        if self._half_close and self.pump.idle:
            self._half_close = False
            self._link.end()


async def connect(address: str, poller: Poller, *, timeout_s: float) -> socket.socket:
    """A connection to a node.

    Raises:
        ConnectError: it cannot be reached.
    """
    reason = "no address"
    try:
        async with asyncio.timeout(timeout_s):
            for family, target in await _targets(address):
                sock = socket.socket(family, socket.SOCK_STREAM)
                sock.setblocking(False)
                try:
                    await _connect(sock, target, poller)
                except OSError as error:
                    sock.close()
                    reason = error.strerror or "no connection"
                    continue
                except BaseException:
                    sock.close()
                    raise
                _tune(sock)
                return sock
    except TimeoutError:
        reason = f"no connection within {timeout_s:g} s"
    except OSError as error:
        reason = error.strerror or "no such host"
    raise ConnectError(f"{address} cannot be reached: {reason}")


async def _connect(sock: socket.socket, target: tuple[Any, ...], poller: Poller) -> None:
    try:
        sock.connect(target)
    except BlockingIOError:
        if not _writable(sock):  # a node on this machine is there already
            came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            fd = sock.fileno()
            poller.add_writer(fd, functools.partial(_resolve, came))
            try:
                await came
            finally:
                poller.remove_writer(fd)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error)) from None


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _writable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(0))


async def _targets(address: str) -> list[tuple[int, tuple[Any, ...]]]:
    """Families and socket addresses of HOST:PORT.

    Raises:
        OSError: there is no such host.
    """
    host, port = Address.parse(address)
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, target) for family, _, _, _, target in found]
    # The resolver would ask a thread.
    return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]


def _tune(sock: socket.socket) -> None:
    tune(sock)
    with contextlib.suppress(OSError):
        for name, seconds in _KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
