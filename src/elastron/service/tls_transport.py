"""The transport a protocol of plain bytes has over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable
from typing import Any

#: Encrypted at once before it is handed to the socket, so that a large image is not there twice.
_SEND_BYTES = 256 * 1024
#: Delivered at once to a protocol that brings no buffer.
_DELIVERY_BYTES = 64 * 1024
#: How long a peer's last words are read and thrown away after ours: closing a socket with unread
#: bytes would reset it, and what we sent last would be lost on its way.
_LINGER_S = 10.0

Buffers = Iterable[bytes | bytearray | memoryview]


class TlsTransport(asyncio.Transport):
    """What the protocol of the plain bytes writes to; as asyncio defines a transport.

    `write_eof` ends our direction only; `get_extra_info("tls_peer")` tells who is there.
    """

    def __init__(
        self,
        raw: asyncio.Transport,
        tls: ssl.SSLObject,
        bios: tuple[ssl.MemoryBIO, ssl.MemoryBIO],
        extra: dict[str, Any],
    ) -> None:
        super().__init__(extra)
        self._loop = asyncio.get_running_loop()
        self._raw, self._tls = raw, tls
        self._incoming, self._outgoing = bios
        self._protocol: asyncio.BaseProtocol | None = None
        self._paused = False
        self._resting = False
        self._delivering = False
        self._closing = False
        self._peer_ended = False  # it has sent its close_notify
        self._end_told = False  # the protocol knows
        self._end_wanted = False  # ours is to go out as soon as what came has been delivered
        self._ended = False  # ours has
        self._error: Exception | None = None
        self._linger: asyncio.TimerHandle | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the socket's transport; besides `ssl_object` and `tls_peer`."""
        if name == "ssl_object":
            return self._tls
        own = super().get_extra_info(name)
        return self._raw.get_extra_info(name, default) if own is None else own

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to another protocol from now on."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """The protocol delivered to."""
        return self._protocol

    # --- reading --------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Not paused, and there may be more."""
        return not (self._paused or self._closing or self._peer_ended)

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`; soon the peer cannot send any more."""
        if not self._paused and not self.is_closing():
            self._paused = True
            if not self._resting:
                self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again."""
        if self._paused:
            self._paused = False
            if not self._resting and not self._raw.is_closing():
                self._raw.resume_reading()
            self._loop.call_soon(self.advance)  # decrypted or not, something may be left

    def rest(self, seconds: float) -> None:
        """Let the socket fill for a while before it is read again."""
        if not (self._resting or self._paused or self.is_closing()):
            self._resting = True
            self._raw.pause_reading()
            self._loop.call_later(seconds, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if not self._paused and not self._raw.is_closing():
            self._raw.resume_reading()

    def advance(self) -> None:
        """Decrypt what has come and deliver it."""
        if self._delivering:  # the protocol resumed reading out of a delivery
            return
        self._delivering = True
        try:
            if self._closing:
                self._discard()
            else:
                self._deliver()
        except OSError as error:  # ssl.SSLError: a broken record, or an alert
            self._break(error)
        finally:
            self._delivering = False
        if self._outgoing.pending and not self._raw.is_closing():
            self._raw.write(self._outgoing.read())  # answers of TLS itself, to a key update
        if self._end_wanted and self._drained():
            self._end()

    def _drained(self) -> bool:
        return not self._incoming.pending and not self._tls.pending()

    def _deliver(self) -> None:
        while not (self._paused or self._closing or self._peer_ended):
            protocol = self._protocol
            if isinstance(protocol, asyncio.BufferedProtocol):
                buffer = memoryview(protocol.get_buffer(-1)).cast("B")
                received = self._read_into(buffer)
                if received:
                    protocol.buffer_updated(received)
                if received < len(buffer):
                    break
            else:
                assert isinstance(protocol, asyncio.Protocol)  # noqa: S101
                buffer = memoryview(bytearray(_DELIVERY_BYTES))
                received = self._read_into(buffer)
                if received:
                    protocol.data_received(bytes(buffer[:received]))
                if received < len(buffer):
                    break
        if self._peer_ended and not self._end_told and not self._closing:
            self._end_told = True
            if not self._protocol_stays():
                self.close()

    def _protocol_stays(self) -> bool:
        protocol = self._protocol
        if isinstance(protocol, asyncio.BufferedProtocol | asyncio.Protocol):
            return bool(protocol.eof_received())
        return False

    def _read_into(self, buffer: memoryview) -> int:
        """Fill `buffer`; less only when nothing is left or the peer has ended."""
        read, at, size = self._tls.read, 0, len(buffer)
        try:
            while at < size:
                count = int(read(size - at, buffer[at:]))  # type: ignore[arg-type]
                if not count:
                    self._peer_ended = True
                    break
                at += count
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._peer_ended = True
        return at

    def _discard(self) -> None:
        waste = memoryview(bytearray(1 << 14))
        while not self._peer_ended and self._read_into(waste) == len(waste):
            pass
        if self._peer_ended and self._ended:
            self._raw.close()

    # --- writing --------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; the protocol is paused while too much waits."""
        self.writelines((data,))

    def writelines(self, list_of_data: Buffers) -> None:
        """Encrypt and send several pieces."""
        if self._closing or self._end_wanted or self._ended or self._raw.is_closing():
            return
        encrypt = self._tls.write
        try:
            for data in list_of_data:
                view = memoryview(data).cast("B")
                at = 0
                while at < len(view):
                    at += encrypt(view[at : at + _SEND_BYTES])
                    if self._outgoing.pending >= _SEND_BYTES:
                        self._raw.write(self._outgoing.read())
        except OSError as error:
            self._break(error)
            return
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def can_write_eof(self) -> bool:
        """TLS has an end for each direction."""
        return True

    def write_eof(self) -> None:
        """Tell the peer that no more will come; reading goes on."""
        self._end_wanted = True
        if self._drained():  # else the peer's data would be taken for a broken goodbye
            self._end()

    def _end(self) -> None:
        self._end_wanted = False
        if self._ended or self._raw.is_closing():
            return
        self._ended = True
        # It writes our close_notify, then wants to read the peer's; that comes when it comes.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of encrypted bytes."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Of encrypted bytes."""
        return self._raw.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        """Encrypted bytes that wait."""
        return self._raw.get_write_buffer_size()

    # --- the end --------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """It is closed, or about to be."""
        return self._closing or self._raw.is_closing()

    def close(self) -> None:
        """Send what waits and our goodbye, hear the peer's, and close."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(OSError):
            self._discard()
        self._end()
        if self._peer_ended:
            self._raw.close()
        elif not self._raw.is_closing():
            if self._paused and not self._resting:
                self._raw.resume_reading()
            self._paused = False
            self._linger = self._loop.call_later(_LINGER_S, self._lingered)

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._closing = True
        self._raw.abort()

    def hung_up(self) -> bool:
        """The peer sends no more bytes, with a goodbye of TLS or without; whether to go on."""
        if self._peer_ended:
            return not self._closing
        if not self._closing:  # anybody on the way can cut a connection off
            self._error = ConnectionResetError("the connection ended in the middle of TLS")
        return False

    def lost(self, exc: Exception | None) -> None:
        """The socket's transport has closed."""
        self._closing = True
        if self._linger is not None:
            self._linger.cancel()
        if self._protocol is not None:
            self._protocol.connection_lost(self._error or exc)
            self._protocol = None

    def _lingered(self) -> None:
        if self._raw.is_closing():
            return
        if self._raw.get_write_buffer_size():  # a slow reader; whoever closed us limits its time
            self._linger = self._loop.call_later(_LINGER_S, self._lingered)
        else:
            self._raw.abort()

    def _break(self, error: OSError) -> None:
        if self._error is None:
            self._error = error
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())  # the alert
        self._closing = True
        self._raw.close()
