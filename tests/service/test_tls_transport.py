"""The transport over TLS, with a client that does one thing at a time, on both loops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from elastron.service.tls_transport import TlsTransport
from tests.gateway.tls_parts import (
    PATIENCE_S,
    Authority,
    Echo,
    Listener,
    listening,
    needs_openssl,
    settings_of,
)

pytestmark = needs_openssl

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]


class Client:
    """TLS by hand, so that each direction ends when the test says so."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def connect(self, port: int) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        await self._until_done(self.tls.do_handshake)
        return self

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
            await self.flush()

    async def receive(self, count: int) -> bytes:
        """Up to `count` bytes; fewer at the server's end of file."""
        heard = b""
        while len(heard) < count:
            piece: Any = await self._until_done(partial(self.tls.read, count - len(heard)))
            if not piece:
                break
            heard += piece
        return heard

    async def end(self) -> None:
        """No more from us; we still listen."""
        with contextlib.suppress(ssl.SSLError):  # it wants to read the other's end, too
            self.tls.unwrap()
        await self.flush()

    async def flush(self) -> None:
        self.writer.write(self.outgoing.read())
        await self.writer.drain()

    async def _until_done(self, step: Callable[[], object]) -> object:
        while True:
            try:
                return step()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                await self.flush()
                data = await self.reader.read(1 << 16)
                if not data:
                    raise ConnectionResetError("end of file in the middle of TLS") from None
                self.incoming.write(data)
            finally:
                if self.outgoing.pending:
                    await self.flush()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.issue("gateway")
    return authority


class Silent(Echo):
    """Says nothing by itself and stays when the peer ends."""

    def __init__(self) -> None:
        super().__init__(lambda received: b"")
        self.paused_writing = asyncio.Event()
        self.may_write = asyncio.Event()
        self.came = asyncio.Event()

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self.came.set()

    def eof_received(self) -> bool:
        self.ended = True
        self.came.set()
        return True

    def pause_writing(self) -> None:
        self.paused_writing.set()

    def resume_writing(self) -> None:
        self.may_write.set()

    async def has(self, count: int) -> None:
        while len(self.received) < count:
            self.came.clear()
            await self.came.wait()


Scene = Callable[[Client, Silent], Awaitable[None]]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest, authority: Authority) -> Callable[[Scene], None]:
    """Run a scene with one client and the protocol it is connected to."""

    async def run(scene: Scene) -> None:
        settings = settings_of(certificate=authority.folder / "gateway.pem")
        async with asyncio.timeout(PATIENCE_S), listening(settings, Silent) as listener:
            client = await Client(authority.client_context()).connect(listener.port)
            try:
                await scene(client, await _protocol(listener))
            finally:
                await client.close()

    def play(scene: Scene) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(run(scene))

    return play


async def _protocol(listener: Listener) -> Silent:
    await listener.wait(lambda: bool(listener.protocols))
    protocol = listener.protocols[0]
    assert isinstance(protocol, Silent)
    assert isinstance(protocol.transport, TlsTransport)
    return protocol


Play = Callable[[Scene], None]


def test_the_peer_may_end_first(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        await client.send(b"all I have")
        await client.end()
        await server.has(10)
        while not server.ended:
            server.came.clear()
            await server.came.wait()
        assert not server.transport.is_reading()
        images = os.urandom(1_000_000)
        server.transport.write(images)
        server.transport.close()
        assert await client.receive(2_000_000) == images
        await client.close()
        await server.gone
        assert server.error is None

    play(scene)


def test_we_may_end_first(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        server.transport.write(b"images")
        assert server.transport.can_write_eof()
        server.transport.write_eof()
        server.transport.write(b"too late")
        assert await client.receive(100) == b"images"
        await client.send(b"what you may still want to know")
        await server.has(31)
        await client.end()
        while not server.ended:
            server.came.clear()
            await server.came.wait()
        server.transport.close()
        await server.gone
        assert server.error is None

    play(scene)


def test_our_end_waits_for_what_has_not_been_delivered(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        data = os.urandom(200_000)
        server.buffer = bytearray(1000)

        def pause_at_once(nbytes: int) -> None:
            Silent.buffer_updated(server, nbytes)
            if len(server.received) == 1000:
                server.transport.pause_reading()

        server.buffer_updated = pause_at_once  # type: ignore[method-assign]
        await client.send(data)
        await server.has(1000)
        server.transport.write_eof()
        server.transport.resume_reading()
        assert await client.receive(1) == b""
        await server.has(len(data))
        assert bytes(server.received) == data
        server.transport.abort()

    play(scene)


def test_closing_reads_on_so_that_the_last_words_arrive(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        await client.send(b"x" * 100_000)
        await server.has(1)
        server.transport.write(b"ERROR: enough")
        server.transport.close()
        server.transport.close()
        assert server.transport.is_closing()
        await client.send(b"x" * 3_000_000)  # does not know yet
        assert await client.receive(100) == b"ERROR: enough"
        await client.end()
        await server.gone
        assert server.error is None
        assert len(server.received) <= 100_000

    play(scene)


def test_pausing_holds_the_peer_back(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        server.transport.pause_reading()
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        data = os.urandom(20_000_000)
        sending = asyncio.create_task(client.send(data))
        done, _ = await asyncio.wait({sending}, timeout=0.3)
        assert not done
        assert not server.received
        server.transport.resume_reading()
        server.transport.resume_reading()
        await server.has(len(data))
        await sending
        assert bytes(server.received) == data
        server.transport.abort()

    play(scene)


def test_a_slow_reader_holds_us_back(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        server.transport.set_write_buffer_limits(high=100_000)
        assert server.transport.get_write_buffer_limits()[1] == 100_000
        pieces = [os.urandom(500_000) for _ in range(40)]
        server.transport.writelines(pieces)
        assert server.paused_writing.is_set()
        assert server.transport.get_write_buffer_size() > 100_000
        assert await client.receive(20_000_000) == b"".join(pieces)
        await server.may_write.wait()
        server.transport.abort()

    play(scene)


def test_cut_off_is_told_from_the_end(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        await client.send(b"half a sc")
        await server.has(9)
        client.writer.write_eof()  # of TCP, without TLS knowing
        await server.gone
        assert isinstance(server.error, ConnectionResetError)
        assert "in the middle of TLS" in str(server.error)
        assert not server.ended

    play(scene)


def test_a_broken_record_ends_the_connection(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        client.tls.write(b"secret")
        record = bytearray(client.outgoing.read())
        record[-1] ^= 1
        client.writer.write(record)
        await server.gone
        assert isinstance(server.error, ssl.SSLError)
        assert not server.received

    play(scene)


def test_a_reset_is_passed_on(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        sock = client.writer.get_extra_info("socket")
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.writer.transport.abort()
        await server.gone
        assert server.error is None or isinstance(server.error, OSError)

    play(scene)


def test_what_a_transport_tells(play: Play) -> None:
    async def scene(client: Client, server: Silent) -> None:
        transport = server.transport
        assert isinstance(transport, TlsTransport)
        assert (
            transport.get_extra_info("peername")[1] == client.writer.get_extra_info("sockname")[1]
        )
        assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert transport.get_extra_info("tls_peer").version == "TLSv1.3"
        assert transport.get_extra_info("nothing", 5) == 5
        assert transport.get_protocol() is server
        assert transport.is_reading()
        transport.abort()
        await server.gone
        transport.write(b"nobody hears")
        transport.write_eof()
        transport.pause_reading()
        transport.resume_reading()

    play(scene)


class Streams(asyncio.Protocol):
    """A protocol that brings no buffer."""

    def __init__(self) -> None:
        self.received = b""
        self.transport: Any = None
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)


async def test_a_protocol_without_a_buffer(authority: Authority, tmp_path: Path) -> None:
    settings = settings_of(certificate=authority.folder / "gateway.pem")
    async with listening(settings, Streams) as listener:  # type: ignore[arg-type]
        client = await Client(authority.client_context()).connect(listener.port)
        data = os.urandom(300_000)
        sending = asyncio.create_task(client.send(data))
        assert await client.receive(len(data)) == data
        await sending
        await client.end()  # it has no eof_received: the server ends, too
        assert await client.receive(1) == b""
        await client.close()
        await listener.protocols[0].gone
