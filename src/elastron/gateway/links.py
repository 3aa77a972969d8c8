"""The ends of connections: bytes straight into the owner's memory, and out of it again.

A plain connection is a bare socket, as two copies a byte and few calls are all that a fast relay
can afford; a TLS one is the event loop's transport. Their owners see no difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Protocol

from elastron.gateway.poller import Poller

#: Taken at once by a TLS connection, which encrypts and so copies anyway.
_TLS_PIECE_BYTES = 256 << 10
_SCRATCH_BYTES = 64 << 10
_NO_LINGER = struct.pack("ii", 1, 0)


class End(Protocol):
    """Who owns a link. No method is called within a call of a link's own methods."""

    def get_buffer(self) -> memoryview | None:
        """Where to receive; None: nowhere for now, and reading pauses until `Link.resume`."""
        ...

    def received(self, count: int) -> None:
        """`count` bytes have come into the buffer."""
        ...

    def ended(self) -> None:
        """The peer has sent its last byte."""
        ...

    def broken(self, reason: str) -> None:
        """The connection is gone: nothing will come or go any more."""
        ...

    def writable(self) -> None:
        """`Link.send` took nothing the last time; now it will."""
        ...


class Link(Protocol):
    """One connection."""

    def start(self, end: End) -> None:
        """Begin to read for `end`."""
        ...

    def pause(self) -> None:
        """Read nothing until `resume`."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def send(self, data: memoryview) -> int:
        """Send some of `data`; how many bytes were taken. 0: none, `End.writable` will tell."""
        ...

    def end(self) -> None:
        """What was sent was the last; the peer may go on sending."""
        ...

    def close(self, *, reset: bool = False) -> None:
        """Close; a second call does nothing. The owner hears no more.

        Args:
            reset: let the peer know that nobody will read what it still sends.
        """
        ...


class SocketLink:
    """A TCP connection without encryption.

    Args:
        sock: connected, non-blocking; closed with the link.
        poller: watches it.
    """

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        self._poller = poller
        self._socket = sock
        self._fd = sock.fileno()
        self._end: End | None = None
        self._reading = False
        self._writing = False
        self._unreadable = False  # the peer's last byte has come
        self._unwritable = False

    def start(self, end: End) -> None:
        """See `Link`."""
        self._end = end
        self.resume()

    def pause(self) -> None:
        """See `Link`."""
        if self._reading:
            self._reading = False
            self._poller.remove_reader(self._fd)

    def resume(self) -> None:
        """See `Link`."""
        if not self._reading and not self._unreadable and self._end is not None:
            self._reading = True
            self._poller.add_reader(self._fd, self._receive)

    def send(self, data: memoryview) -> int:
        """See `Link`."""
        if self._unwritable or self._end is None:
            return 0
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            if not self._writing:
                self._writing = True
                self._poller.add_writer(self._fd, self._writable)
        except OSError as error:
            self._unwritable = True
            # What the peer said before it went may still be there: reading will find the end.
            if self._unreadable:
                asyncio.get_running_loop().call_soon(self._broken, _words(error))
        return 0

    def end(self) -> None:
        """See `Link`."""
        self._unwritable = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        """See `Link`."""
        if self._fd < 0:
            return
        self._end = None
        self.pause()
        self._no_writer()
        with contextlib.suppress(OSError):
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._socket.close()
        self._fd = -1

    def _receive(self) -> None:
        end = self._end
        if end is None:
            return
        buffer = end.get_buffer()
        if buffer is None:
            self.pause()
            return
        try:
            count = self._socket.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._broken(_words(error))
            return
        if count:
            end.received(count)
            return
        self.pause()
        self._unreadable = True
        end.ended()
        if self._unwritable:
            self._broken("connection closed")

    def _writable(self) -> None:
        self._no_writer()
        if self._end is not None:
            self._end.writable()

    def _no_writer(self) -> None:
        if self._writing:
            self._writing = False
            self._poller.remove_writer(self._fd)

    def _broken(self, reason: str) -> None:
        self.pause()
        self._no_writer()
        self._unreadable = self._unwritable = True
        if self._end is not None:
            self._end.broken(reason)


class TlsLink(asyncio.BufferedProtocol):
    """A TLS connection, once hands are shaken: the protocol of the event loop's transport.

    It reads nothing before `start`.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._end: End | None = None
        self._closed = False
        self._lost: str | None = None
        self._over = False  # the peer's last byte has come
        self._blocked = False  # the transport's buffer is full
        self._wanting = False  # somebody waits for `writable`
        self._into_scratch = False
        self._scratch = b""

    # --- Link -----------------------------------------------------------------------------------

    def start(self, end: End) -> None:
        """See `Link`."""
        self._end = end
        self.resume()
        if self._over:
            end.ended()
        if self._lost is not None:
            end.broken(self._lost)

    def pause(self) -> None:
        """See `Link`."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """See `Link`."""
        end = self._end
        while self._scratch and end is not None:
            buffer = end.get_buffer()
            if buffer is None:
                return
            count = min(len(buffer), len(self._scratch))
            buffer[:count] = self._scratch[:count]
            self._scratch = self._scratch[count:]
            end.received(count)
        if self._transport is not None and end is not None:
            self._transport.resume_reading()

    def send(self, data: memoryview) -> int:
        """See `Link`."""
        if self._transport is None or self._closed or self._lost is not None:
            return 0
        if self._blocked:
            self._wanting = True
            return 0
        piece = bytes(data[:_TLS_PIECE_BYTES])  # kept by the transport; the journal's may be moved
        self._transport.write(piece)
        return len(piece)

    def end(self) -> None:
        """See `Link`."""
        if self._transport is not None and self._lost is None and not self._closed:
            self._transport.write_eof()

    def close(self, *, reset: bool = False) -> None:
        """See `Link`."""
        self._end = None
        if self._transport is not None and not self._closed:
            self._closed = True
            if reset:
                self._transport.abort()
            else:
                self._transport.close()

    # --- asyncio.BufferedProtocol ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self._transport = transport
        if self._end is None:
            transport.pause_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next plain bytes go."""
        del sizehint
        buffer = None if self._end is None or self._scratch else self._end.get_buffer()
        self._into_scratch = buffer is None
        if buffer is None:
            # Decrypted before the pause was heard.
            self._spare = bytearray(_SCRATCH_BYTES)
            return memoryview(self._spare)
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        """They have come."""
        if self._into_scratch:
            self._scratch += self._spare[:nbytes]
            self.pause()
        elif self._end is not None:
            self._end.received(nbytes)

    def eof_received(self) -> bool:
        """The peer's last byte has come."""
        self._over = True
        if self._end is not None:
            self._end.ended()
        return True  # ours goes on: the images are still to come

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lost = "connection closed" if exc is None else _words(exc)
        if self._end is not None:
            self._end.broken(self._lost)

    def pause_writing(self) -> None:
        """The transport has enough."""
        self._blocked = True

    def resume_writing(self) -> None:
        """It takes more."""
        self._blocked = False
        if self._wanting and self._end is not None:
            self._wanting = False
            self._end.writable()


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
