"""Our own tunnel by pre-shared key, against real servers and broken ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from elastron.access.problems import Kind, Problem
from elastron.access.psk_tunnel import PskTunnel, PskTunnelSettings
from elastron.access.tunnel import TunnelError, check, keep
from elastron.errors import ElastronError
from elastron.service.address import Address
from elastron.service.psk import PreSharedKey
from elastron.wire import Decoder
from elastron.wire.messages import Close, Text
from tests.access.programs import backend, program, stunnel_server, until
from tests.gateway.tls_parts import (
    HAS_PSK,
    OPENSSL,
    OTHER_SECRET,
    PATIENCE_S,
    SECRET,
    Authority,
    Echo,
    in_thread,
    key_file,
    listening,
    needs_openssl,
    needs_psk,
    needs_stunnel,
    settings_of,
)
from tests.ports import free_port

KEY = PreSharedKey("site-a", SECRET)


def settings_to(port: int, key: PreSharedKey = KEY, **values: object) -> PskTunnelSettings:
    here, there = Address("127.0.0.1", 0), Address("127.0.0.1", port)
    return replace(PskTunnelSettings(here, there, key, connect_timeout_s=PATIENCE_S), **values)


@contextlib.asynccontextmanager
async def tunnel(settings: PskTunnelSettings) -> AsyncIterator[PskTunnel]:
    tunnel = PskTunnel(settings)
    await tunnel.start()
    try:
        yield tunnel
    finally:
        await tunnel.stop()


async def problem_of(settings: PskTunnelSettings) -> tuple[Kind, str]:
    async with tunnel(settings) as opened:
        with pytest.raises(TunnelError) as caught:
            await check(opened, PATIENCE_S)
    assert SECRET not in str(caught.value)
    return caught.value.problem.kind, caught.value.problem.text


@pytest.mark.skipif(HAS_PSK, reason="this Python has TLS-PSK")
def test_python_without_psk_says_what_to_do() -> None:
    with pytest.raises(ElastronError, match=r"Python 3\.13 or newer .* apt install stunnel4"):
        PskTunnel(settings_to(1))


@needs_psk
@needs_stunnel
async def test_through_a_real_stunnel_server(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    with backend() as server, stunnel_server(tmp_path, keys, server.port) as (port, log):
        async with tunnel(settings_to(port)) as opened:
            assert await check(opened, PATIENCE_S) == "Gadgetron Version Info"
            data = os.urandom(5_000_000)
            heard = await in_thread(partial(_echo, opened.address.port, data))
            assert heard == data
            assert opened.problem is None
        await in_thread(lambda: until(lambda: 'PSK identity "site-a"' in log.read_text()))


def _echo(port: int, data: bytes) -> bytes:
    """Send all, then end our direction, while reading: both ends must carry both ways."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.setblocking(False)
        sent, heard, view = 0, bytearray(), memoryview(data)
        client.settimeout(PATIENCE_S)
        while len(heard) < len(data):
            if sent < len(data):
                sent += client.send(view[sent : sent + 100_000])
                if sent == len(data):
                    client.shutdown(socket.SHUT_WR)
            heard += client.recv(1 << 20)
        assert client.recv(1) == b""
        return bytes(heard)


@needs_psk
async def test_through_the_gateway_s_listener_with_half_close(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    make = partial(Echo, lambda received: received[::-1])
    async with (
        listening(settings_of(psk_file=keys), make) as listener,
        tunnel(settings_to(listener.port)) as opened,
    ):
        data = os.urandom(3_000_000)

        def exchange() -> bytes:
            with socket.create_connection(tuple(opened.address), timeout=PATIENCE_S) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                heard = b""
                while piece := client.recv(1 << 20):
                    heard += piece
                return heard

        for _ in range(3):
            assert await in_thread(exchange) == data[::-1]
        assert {peer.tenant for peer in listener.peers} == {"site-a"}


# --- what is wrong ------------------------------------------------------------------------------


@needs_psk
async def test_no_such_host() -> None:
    settings = replace(settings_to(1, patience_s=0), to=Address("no-such-host.invalid", 9002))
    kind, text = await problem_of(settings)
    assert kind is Kind.DNS
    assert "no host of the name in no-such-host.invalid:9002" in text


@needs_psk
async def test_nobody_listens() -> None:
    kind, text = await problem_of(settings_to(free_port(), patience_s=0))
    assert kind is Kind.REFUSED
    assert "refuses the connection" in text


@needs_psk
async def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        kind, text = await problem_of(settings_to(port, patience_s=0, connect_timeout_s=2))
    assert kind is Kind.TIMEOUT
    assert "says nothing" in text


@needs_psk
async def test_a_plain_gadgetron() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x05\x00\x10\x00\x00\x00not a TLS record")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        kind, text = await problem_of(settings_to(server.sockets[0].getsockname()[1]))
    assert kind is Kind.TLS
    assert "does not speak TLS" in text


@needs_psk
async def test_one_that_hangs_up() -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(leave, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        kind, text = await problem_of(settings_to(port, patience_s=0))
    assert kind is Kind.CUT_OFF
    assert "hung up during the TLS handshake" in text


@needs_psk
@pytest.mark.parametrize("real", [False, pytest.param(True, marks=needs_stunnel)])
async def test_wrong_and_unknown_keys(tmp_path: Path, real: bool) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    async with contextlib.AsyncExitStack() as stack:
        if real:
            server = stack.enter_context(backend())
            port, _ = stack.enter_context(stunnel_server(tmp_path, keys, server.port))
        else:
            port = (await stack.enter_async_context(listening(settings_of(psk_file=keys)))).port
        wrong = await problem_of(settings_to(port, PreSharedKey("site-a", OTHER_SECRET)))
        assert wrong[0] is Kind.WRONG_KEY
        assert "does not take the key of 'site-a'" in wrong[1]
        unknown = await problem_of(settings_to(port, PreSharedKey("nobody", SECRET)))
        # A stunnel server without certificates has nothing else to offer, and says just that.
        assert unknown[0] in ({Kind.WRONG_KEY, Kind.TLS} if real else {Kind.WRONG_KEY})


@needs_psk
@needs_openssl
async def test_a_stranger_with_a_certificate_gets_nothing(tmp_path: Path) -> None:
    assert OPENSSL is not None
    authority = Authority(tmp_path)
    pem, port = authority.issue("stranger"), free_port()
    command = [OPENSSL, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-quiet"]
    with program(tmp_path, "stranger", command, port) as log:
        kind, text = await problem_of(settings_to(port))
        assert kind is Kind.WRONG_HOST
        assert "shows a certificate instead" in text
        assert b"gadgetron::info" not in log.read_bytes()


@needs_psk
async def test_an_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = replace(settings_to(1), listen=Address(*taken.getsockname()))
        with pytest.raises(ElastronError, match="cannot listen"):
            await PskTunnel(settings).start()


@needs_psk
async def test_the_client_is_told_in_its_own_protocol() -> None:
    async with tunnel(settings_to(free_port(), patience_s=0)) as opened:

        def listen() -> list[object]:
            decoder = Decoder()
            with socket.create_connection(tuple(opened.address), timeout=PATIENCE_S) as client:
                client.sendall(b"\x01\x00" + b"default.xml".ljust(1024, b"\0"))
                while data := client.recv(1 << 16):
                    decoder.feed(data)
            return list(decoder.messages())

        text, close = await in_thread(listen)
        assert isinstance(text, Text)
        assert text.text.startswith("[Tunnel] ERROR: 127.0.0.1:")
        assert "refuses the connection" in text.text
        assert isinstance(close, Close)


# --- looking after it ---------------------------------------------------------------------------


@needs_psk
async def test_a_client_waits_while_the_gateway_restarts(tmp_path: Path) -> None:
    port = free_port()
    async with tunnel(settings_to(port)) as opened:

        def talk() -> bytes:
            with socket.create_connection(tuple(opened.address), timeout=PATIENCE_S) as client:
                client.sendall(b"scan")
                return client.recv(4)

        talking = asyncio.create_task(in_thread(talk))
        await in_thread(lambda: until(lambda: opened.problem is not None))  # one has failed
        keys = key_file(tmp_path, f"site-a:{SECRET}")
        async with listening(settings_of(psk_file=keys), port=port):
            assert await talking == b"scan"


@needs_psk
@needs_stunnel
async def test_changes_are_told_once(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    told: list[str | Problem] = []
    port = free_port()

    async def times(count: int) -> None:
        await in_thread(lambda: until(lambda: len(told) >= count))

    async with tunnel(settings_to(port, patience_s=0)) as opened:
        keeping = asyncio.create_task(
            keep(opened, every_s=0.05, timeout_s=PATIENCE_S, on_change=told.append)
        )
        await times(1)
        with backend() as server:
            with stunnel_server(tmp_path, keys, server.port, port):
                await times(2)
                await in_thread(lambda: until(lambda: server.connections > 3))
            await times(3)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert isinstance(told[0], Problem)
    assert told[0].kind is Kind.REFUSED
    assert told[1] == "Gadgetron Version Info"
    assert isinstance(told[2], Problem)


@needs_psk
async def test_a_wrong_key_is_not_waited_out(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{OTHER_SECRET}")
    async with (
        listening(settings_of(psk_file=keys)) as listener,
        tunnel(settings_to(listener.port)) as opened,
    ):
        problem = await asyncio.wait_for(
            keep(opened, every_s=60, timeout_s=PATIENCE_S, on_change=lambda _: None), PATIENCE_S
        )
        assert problem.kind is Kind.WRONG_KEY
