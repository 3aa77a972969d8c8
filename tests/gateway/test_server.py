from __future__ import annotations

import asyncio
import json

import pytest

from elastron.errors import ElastronError
from elastron.gateway import Gateway, GatewaySettings
from elastron.wire.faults import LOCATION
from elastron.wire.messages import Close, Query, Response
from tests.gateway.harness import (
    PREAMBLE,
    FakeNode,
    Line,
    client_of,
    gateway_before,
    gives,
    image,
    numbers,
    one_scan,
    texts,
    until,
)
from tests.node.harness import scan, wire_bytes


async def test_the_silent_make_room_for_those_who_speak() -> None:
    async with (
        FakeNode(gives(1)) as node,
        gateway_before(node, pending_connections_max=20) as gateway,
    ):
        silent = [await client_of(gateway) for _ in range(100)]
        assert numbers(await one_scan(gateway)) == [1]
        (door,) = gateway._doors
        await until(lambda: door.silent <= 20)
        assert not gateway.sessions
        assert gateway.journal_space.memory_bytes == 0
        # The oldest went; the youngest may still speak.
        assert await silent[0].rest() == []
        await silent[-1].send_bytes(PREAMBLE + wire_bytes(scan(), Close()))
        assert numbers(await silent[-1].rest()) == [1]
        for line in silent:
            await line.close()


async def test_who_never_speaks_is_told_so() -> None:
    async with gateway_before(handshake_timeout_s=0.2) as gateway:
        client = await client_of(gateway)
        (said,) = texts(await client.rest())
        assert said == f"[{LOCATION}] ERROR: nothing received within 0.2 s of connecting"
        await client.close()


async def test_port_checks_are_no_sessions() -> None:
    async with gateway_before() as gateway:
        for _ in range(5):
            await (await client_of(gateway)).close()
        await until(lambda: gateway._doors[0].silent == 0 and not gateway.sessions)
        exposition = gateway.metrics.exposition().decode()
    assert 'elastron_sessions_total{outcome="error"} 0.0' in exposition


async def test_a_drain_lets_scans_finish_and_no_new_ones_in() -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        await line.until_close()
        await go.wait()
        await line.send(image(1), Close())

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        running = asyncio.create_task(one_scan(gateway))
        silent = await client_of(gateway)
        await until(lambda: node.lines and gateway._doors[0].silent)
        draining = asyncio.create_task(gateway.drain())
        await until(lambda: gateway.unready_reason() == "draining")
        assert "draining" in texts(await silent.rest())[0]
        with pytest.raises(OSError, match="Connect call failed"):
            await client_of(gateway)
        assert not draining.done()
        go.set()
        assert await draining == 0
        assert numbers(await running) == [1]
        await silent.close()


async def test_a_drain_does_not_wait_for_ever() -> None:
    async def script(line: Line) -> None:
        await line.reader.read()

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        running = asyncio.create_task(one_scan(gateway))
        await until(lambda: node.lines)
        assert await gateway.drain(0.1) == 1
        (said,) = texts(await running)
        assert "waited 0.1 s, then went down" in said


async def test_a_stop_ends_everything_at_once() -> None:
    async def script(line: Line) -> None:
        await line.reader.read()

    async with FakeNode(script) as node:
        async with gateway_before(node) as gateway:
            client = await client_of(gateway)
            await client.send_bytes(PREAMBLE + b"\xf0\x03")
            await until(lambda: node.lines)
        assert not gateway.sessions
        (said,) = texts(await client.rest())
        assert said == f"[{LOCATION}] ERROR: the gateway is stopped"
        await client.close()


async def test_more_scans_than_are_allowed() -> None:
    async def script(line: Line) -> None:
        await line.reader.read()

    async with FakeNode(script) as node, gateway_before(node, sessions_max=1) as gateway:
        first = await client_of(gateway)
        await first.send_bytes(PREAMBLE)
        await until(lambda: gateway.sessions)
        (said,) = texts(await one_scan(gateway))
        assert "takes no more" in said
        await first.close()


async def test_status_of_the_fleet() -> None:
    async with FakeNode(gives(1), capacity=3) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        await client.send(Query("elastron::status", 1), Close())
        response = await client.next()
        assert isinstance(response, Response)
        status = json.loads(response.response)
        assert status["role"] == "gateway"
        assert (status["nodes"], status["capacity"], status["running"]) == (1, 3, 0)
        assert status["ready"]
        await client.close()


async def test_an_address_that_is_taken() -> None:
    async with gateway_before() as gateway:
        other = Gateway(GatewaySettings(listen=str(gateway.address), admin=None))
        with pytest.raises(ElastronError, match="choose another"):
            await other.start()


async def test_hundreds_of_scans_at_once() -> None:
    async with FakeNode(gives(1), capacity=8) as node, gateway_before(node) as gateway:
        answers = await asyncio.gather(*(one_scan(gateway) for _ in range(200)))
        assert [numbers(answer) for answer in answers] == [[1]] * 200
        await until(lambda: not gateway.sessions)
        assert gateway.journal_space.memory_bytes == 0
        assert not gateway.journal_space.journals
