"""TLS between a socket's transport and the protocol that gets the plain bytes.

asyncio's own TLS ends a connection when the peer has finished sending, and a stunnel in front of a
client that half-closes does just that; the images would have nowhere to go. So this is our own, on
`ssl.SSLObject`, with both directions ending on their own as they do in TCP.

    socket -> asyncio's transport -> TlsConnection (bytes of TLS) -> TlsTransport -> protocol
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from elastron.service.tls_transport import TlsTransport

#: One read of the socket at most; pages that were never read into cost nothing.
RECEIVE_BYTES = 1024 * 1024
#: A read of at least a record's bytes that emptied the socket is one of a flood that we keep up
#: with. Waiting a little then halves what a byte costs, as each read brings more of them.
_FLOOD_BYTES = 16 * 1024
_REST_S = 0.001
#: After a handshake that failed: time for the alert to be read. Closing a socket with unread bytes
#: would reset it, and the alert would be lost on its way.
_ALERT_LINGER_S = 1.0
#: The first byte of a handshake record; everything else is not TLS (RFC 8446, 5.1).
_HANDSHAKE_RECORD = 0x16


class NotTlsError(OSError):
    """The peer's first byte is not of TLS."""


class NamelessError(OSError):
    """The handshake is done, and there is still no name for the peer."""


class TlsConnection(asyncio.BufferedProtocol):
    """The TLS of one connection, accepted or made.

    Attributes:
        shaken: resolves when the handshake is done; its exception is an `ssl.SSLError` or another
            `OSError` (the peer has gone, or speaks no TLS).
        spoke: a first byte has come.
    """

    def __init__(
        self,
        make_context: Callable[[], ssl.SSLContext],
        factory: Callable[[], asyncio.BaseProtocol],
        buffer: memoryview,
        identify: Callable[[ssl.SSLObject], object],
        *,
        server_side: bool = True,
    ) -> None:
        """Prepare a connection.

        Args:
            make_context: asked when the first byte has come; a silent peer costs no context.
            factory: of the protocol of the plain bytes, called when the handshake is done.
            buffer: to receive into. One loop's connections may share it, as it is emptied before
                the loop turns to another.
            identify: who the peer is, after the handshake; an `OSError` ends the connection. The
                transport's `get_extra_info("tls_peer")` answers it.
            server_side: the peer speaks first; otherwise we do, as soon as there is a connection.
        """
        self._loop = asyncio.get_running_loop()
        self.shaken: asyncio.Future[TlsTransport] = self._loop.create_future()
        self.spoke = False
        self._make_context = make_context
        self._factory = factory
        self._buffer = buffer
        self._identify = identify
        self._server_side = server_side
        self._raw: asyncio.Transport | None = None
        self._tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._plain: TlsTransport | None = None

    # --- from the socket's transport ------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:  # noqa: D102 - as asyncio defines it
        self._raw = transport
        if self.shaken.done():  # aborted before
            transport.abort()
        elif not self._server_side:
            self._shake()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: D102
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:  # noqa: D102
        received = self._buffer[:nbytes]
        if not self.spoke:
            self.spoke = True
            if self._server_side and received[0] != _HANDSHAKE_RECORD:
                self._fail(NotTlsError("the first byte is not of TLS"))
                return
        self._incoming.write(received)
        if self._plain is not None:
            self._plain.advance()
            if _FLOOD_BYTES <= nbytes < len(self._buffer):
                self._plain.rest(_REST_S)
        elif not self.shaken.done():
            self._shake()

    def eof_received(self) -> bool:  # noqa: D102
        return self._plain is not None and self._plain.hung_up()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        if self._plain is not None:
            self._plain.lost(exc)
        elif not self.shaken.done():
            self.shaken.set_exception(exc or ConnectionResetError("the peer hung up"))

    def pause_writing(self) -> None:  # noqa: D102
        if self._plain is not None:
            self._plain.get_protocol().pause_writing()

    def resume_writing(self) -> None:  # noqa: D102
        if self._plain is not None:
            self._plain.get_protocol().resume_writing()

    # --- handshake ------------------------------------------------------------------------------

    def abort(self, reason: str) -> None:
        """End it at once; `shaken` has a `ConnectionAbortedError` with the reason."""
        if not self.shaken.done():
            self.shaken.set_exception(ConnectionAbortedError(reason))
        if self._raw is not None:
            self._raw.abort()

    def _shake(self) -> None:
        assert self._raw is not None  # noqa: S101 - there is a connection
        try:
            if self._tls is None:
                self._tls = self._make_context().wrap_bio(
                    self._incoming, self._outgoing, server_side=self._server_side
                )
            self._tls.do_handshake()
            peer = self._identify(self._tls)
        except ssl.SSLWantReadError:
            self._raw.write(self._outgoing.read())
            return
        except OSError as error:  # ssl.SSLError is one
            self._fail(error)
            return
        if self._outgoing.pending:
            self._raw.write(self._outgoing.read())
        self._plain = TlsTransport(
            self._raw, self._tls, (self._incoming, self._outgoing), {"tls_peer": peer}
        )
        self.shaken.set_result(self._plain)
        protocol = self._factory()
        self._plain.set_protocol(protocol)
        protocol.connection_made(self._plain)
        self._plain.advance()  # what came with the end of the handshake

    def _fail(self, error: OSError) -> None:
        assert self._raw is not None  # noqa: S101
        if not self.shaken.done():
            self.shaken.set_exception(error)
        if not self._outgoing.pending:
            self._raw.close()
            return
        self._raw.write(self._outgoing.read())  # the alert tells the peer
        self._raw.write_eof()
        self._loop.call_later(_ALERT_LINGER_S, self._raw.abort)
