"""A tunnel by TLS with a pre-shared key: what a stunnel client does, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import Any

from elastron.access.problems import Kind, Problem, connecting, shaking_hands
from elastron.access.tunnel import FIRST_PAUSE_S
from elastron.errors import ElastronError
from elastron.service.address import Address
from elastron.service.listening import listen, tune
from elastron.service.psk import PreSharedKey
from elastron.service.tls_connection import RECEIVE_BYTES, NamelessError, TlsConnection
from elastron.service.tls_transport import TlsTransport
from elastron.wire import encode
from elastron.wire.messages import Close, Text

PSK_NEEDS = (
    "a tunnel with a pre-shared key needs Python 3.13 or newer (this one's ssl module has no "
    "TLS-PSK), or stunnel beside an older one (Debian, Ubuntu: apt install stunnel4)"
)

#: Ciphers of TLS 1.2 with a key exchange of its own and authenticated encryption.
_CIPHERS = "ECDHE-PSK-CHACHA20-POLY1305:!aNULL:!eNULL"
#: Connections through one tunnel; a client that leaks them must not take all descriptors.
_CONNECTIONS_MAX = 256
#: For an error text on its way to a client here, before its connection ends.
_GOODBYE_S = 5.0


@dataclass(frozen=True, slots=True)
class PskTunnelSettings:
    """What a tunnel is told.

    Attributes:
        listen: where clients here connect to.
        to: HOST:PORT of the gateway's TLS listener, or of a stunnel server.
        key: this site's.
        connect_timeout_s: to connect and shake hands, one attempt.
        patience_s: a client that connects while the other side is away waits so long; attempts are
            repeated meanwhile.
    """

    listen: Address
    to: Address
    key: PreSharedKey
    connect_timeout_s: float = 10
    patience_s: float = 60


def psk_context(key: PreSharedKey) -> ssl.SSLContext:
    """A client's context: TLS 1.2 or 1.3, this key, no certificate whatever it says.

    Raises:
        ElastronError: this Python has no TLS-PSK.
    """
    if not getattr(ssl, "HAS_PSK", False):
        raise ElastronError(PSK_NEEDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # The key proves who is there, and then no certificate comes. One that comes all the same (in
    # TLS 1.3 the server may choose) is not trusted, as no authority is: not a stranger's.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_psk_client_callback(  # type: ignore[attr-defined]  - Python 3.13
        lambda hint: (key.identity, key.key)
    )
    return context


class PskTunnel:
    """Takes connections here and carries each over a TLS connection of its own.

    Attributes:
        address: where it listens, with the port it was given.
        problem: of the last attempt to connect; None if it succeeded.
    """

    def __init__(self, settings: PskTunnelSettings) -> None:
        self.settings = settings
        self.address = settings.listen
        self.problem: Problem | None = None
        self._to = str(settings.to)
        self._context = psk_context(settings.key)
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """Connections through it now."""
        return len(self._carrying)

    async def start(self) -> None:
        """Listen.

        Raises:
            ElastronError: the address is taken.
        """
        sock, self.address = listen(self.address)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self._come), sock=sock)

    async def stop(self) -> None:
        """End it, and what runs through it."""
        if self._server is not None:
            self._server.close()
        for task in list(self._carrying):
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def _come(self, end: _End) -> None:
        if len(self._carrying) >= _CONNECTIONS_MAX:
            end.transport.abort()
            return
        task = asyncio.create_task(self._carry(end))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, here: _End) -> None:
        here.transport.pause_reading()
        if (sock := here.transport.get_extra_info("socket")) is not None:
            tune(sock)
        try:
            there = await self._reach(here)
            if there is None:
                await _apologize(here, self.problem)
                return
            here.join(there)
            await asyncio.gather(here.gone, there.gone)
        finally:
            here.transport.abort()
            if here.other is not None:
                here.other.transport.abort()

    async def _reach(self, here: _End) -> _End | None:
        """Connect, again and again while that may help and somebody waits for it."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + self.settings.patience_s, FIRST_PAUSE_S
        while True:
            there, self.problem = await self._connect()
            left = deadline - loop.time()
            if there is not None or self.problem is None or self.problem.lasting or left <= 0:
                return there
            done, _ = await asyncio.wait({here.gone}, timeout=min(pause, left))
            if done:
                return None
            pause *= 2

    async def _connect(self) -> tuple[_End | None, Problem | None]:
        loop = asyncio.get_running_loop()
        end = _End()
        connection = TlsConnection(
            lambda: self._context,
            lambda: end,
            memoryview(bytearray(RECEIVE_BYTES)),
            _without_certificate,
            server_side=False,
        )
        timeout_s = self.settings.connect_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                raw, _ = await loop.create_connection(lambda: connection, *self.settings.to)
        except OSError as error:
            return None, connecting(error, self._to)
        try:
            if (sock := raw.get_extra_info("socket")) is not None:
                tune(sock)
            async with asyncio.timeout(timeout_s):
                await connection.shaken
        except OSError as error:
            connection.abort("the handshake failed")
            return None, shaking_hands(error, self._to, self.settings.key.identity)
        except BaseException:
            connection.abort("the tunnel ends")
            raise
        return end, None


def _without_certificate(tls: ssl.SSLObject) -> None:
    if tls.getpeercert(binary_form=True) is not None:
        raise NamelessError("a certificate was shown")


async def _apologize(end: _End, problem: Problem | None) -> None:
    """Tell a Gadgetron client why nothing comes, in its own protocol."""
    reason = problem or Problem(Kind.OTHER, "the client has gone")
    if end.gone.done():
        return
    for message in (Text(f"[Tunnel] ERROR: {reason.text}"), Close()):
        end.transport.writelines(encode(message))
    end.leaving = True
    end.transport.resume_reading()  # what it sends meanwhile must not reset the connection
    if end.transport.can_write_eof():
        end.transport.write_eof()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(end.gone), _GOODBYE_S)


class _End(asyncio.Protocol):
    """One end of a tunnelled connection; what comes in here goes out at the other."""

    def __init__(self, on_made: Any = None) -> None:
        self.transport: asyncio.Transport
        self.other: _End | None = None
        self.leaving = False  # all has been said; the peer's end is the end
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_made = on_made
        self._ended = False

    def join(self, other: _End) -> None:
        """Carry both ways from now on."""
        self.other, other.other = other, self
        for end in (self, other):
            if end.gone.done():
                end._part(end.other)
            elif end._ended and end.other is not None:
                end.other.transport.write_eof()
        self.transport.resume_reading()
        other.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream
        self.transport = transport
        if self._on_made is not None:
            self._on_made(self)
        elif isinstance(transport, TlsTransport):
            transport.pause_reading()  # until both ends are joined

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self.leaving:
            return False
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.write_eof()
            if self.other._ended:  # both directions are done
                self.other.transport.close()
                return False
        return True

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        self._part(self.other, broken=exc is not None)

    @staticmethod
    def _part(other: _End | None, *, broken: bool = False) -> None:
        if other is None or other.transport.is_closing():
            return
        if broken:
            other.transport.abort()  # a reset is passed on as one: something is missing
        else:
            other.transport.close()
