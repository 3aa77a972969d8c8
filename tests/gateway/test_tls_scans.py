"""Scans through the gateway's TLS listener, from a real stunnel as the original's README has it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from elastron.wire.messages import Close
from tests.gateway.harness import (
    PREAMBLE,
    FakeNode,
    Line,
    gateway_before,
    gives,
    image,
    numbers,
    until,
)
from tests.gateway.tls_parts import (
    PATIENCE_S,
    SECRET,
    key_file,
    needs_psk,
    needs_stunnel,
    stunnel,
)
from tests.node.harness import scan, wire_bytes
from tests.ports import free_port

pytestmark = [needs_psk, needs_stunnel]


async def _client(port: int) -> Line:
    return Line(*await asyncio.open_connection("127.0.0.1", port))


async def test_scans_of_a_site_come_with_its_name(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    tls = [{"listen": "127.0.0.1:0", "psk_file": str(keys)}]
    go = asyncio.Event()

    async def script(line: Line) -> None:
        await line.until_close()
        await go.wait()
        await line.send(image(1), image(2), Close())

    async with FakeNode(script) as node, gateway_before(node, tls=tls) as gateway:
        (address,) = gateway.tls_addresses
        accept = free_port()
        options = ("client = yes", f"PSKsecrets = {keys}")
        with stunnel(tmp_path, *options, accept=accept, connect=address.port):
            client = await _client(accept)
            await client.send_bytes(PREAMBLE + wire_bytes(scan(2), Close()))
            await until(lambda: node.lines, timeout_s=PATIENCE_S)
            (session,) = gateway.sessions.values()
            assert session.describe()["tenant"] == "site-a"
            go.set()
            assert numbers(await client.rest()) == [1, 2]
            await client.close()


async def test_a_client_that_ends_its_direction_first_gets_its_images(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    tls = [{"listen": "127.0.0.1:0", "psk_file": str(keys)}]

    async def until_the_end(line: Line) -> None:
        while await line.next() is not None:
            pass
        await line.send(image(7), Close())

    for script, end in ((until_the_end, ()), (gives(7), (Close(),))):
        async with FakeNode(script) as node, gateway_before(node, tls=tls) as gateway:
            (address,) = gateway.tls_addresses
            accept = free_port()
            options = ("client = yes", f"PSKsecrets = {keys}")
            with stunnel(tmp_path, *options, accept=accept, connect=address.port):
                client = await _client(accept)
                await client.send_bytes(PREAMBLE + wire_bytes(scan(), *end))
                client.half_close()
                assert numbers(await client.rest()) == [7]
                await client.close()


async def test_half_open_handshakes_do_not_hold_up_a_drain(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    listener = {"listen": "127.0.0.1:0", "psk_file": str(keys), "handshake_timeout_s": 600}
    async with FakeNode(gives(1)) as node, gateway_before(node, tls=[listener]) as gateway:
        client = await _client(gateway.tls_addresses[0].port)
        await client.send_bytes(b"\x16")
        (tls,) = gateway._tls
        await until(lambda: tls.shaking)
        assert await gateway.drain() == 0
        await until(lambda: not tls.shaking)
        assert tls.outcomes == {"crowded_out": 1}
        await client.close()
