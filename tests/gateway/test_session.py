from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from elastron.wire import Decoder
from elastron.wire.faults import LOCATION, Fault, fault_words
from elastron.wire.messages import Close, ConfigName, Query, Response, Text
from tests.gateway.harness import (
    MIB,
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


async def test_a_scan_comes_to_the_node_as_it_was_sent() -> None:
    async with FakeNode(gives(1, 2)) as node, gateway_before(node) as gateway:
        answer = await one_scan(gateway)
    assert numbers(answer) == [1, 2]
    assert isinstance(answer[-1], Close)
    assert bytes(node.lines[0].received) == PREAMBLE + wire_bytes(scan(), Close())


async def test_images_come_while_data_goes() -> None:
    async def script(line: Line) -> None:
        await line.next()
        await line.send(image(1))
        await line.until_close()
        await line.send(image(2), Close())

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE)
        assert numbers([await client.next()]) == [1]
        await client.send(scan(), Close())
        assert numbers(await client.rest()) == [2]
        await client.close()


async def breaks_off(line: Line) -> None:
    """Gives one image and half of another, then is gone."""
    await line.until_close()
    await line.send(image(1))
    await line.send_bytes(wire_bytes(image(2))[:500])


async def says_worker_lost(line: Line) -> None:
    await line.until_close()
    words = f"[{LOCATION}] ERROR: {fault_words(Fault.WORKER_LOST, '(killed)')}"
    await line.send(image(1), Text(words), Close())


async def talks_nonsense(line: Line) -> None:
    await line.until_close()
    await line.send(image(1))
    await line.send_bytes(b"\xff\xff and so on")
    await asyncio.sleep(60)


async def goes_at_once(line: Line) -> None:
    await line.next()


@pytest.mark.parametrize("script", [breaks_off, says_worker_lost, talks_nonsense, goes_at_once])
async def test_a_scan_is_replayed_and_each_image_comes_once(script: object) -> None:
    async with (
        FakeNode(script, gives(1, 2, 3)) as one,
        FakeNode(script, gives(1, 2, 3)) as other,
        gateway_before(one, other) as gateway,
    ):
        answer = await one_scan(gateway, repetitions=40)
        assert (numbers(answer), texts(answer)) == ([1, 2, 3], [])
        attempts = one.lines + other.lines
        assert len(attempts) >= 2
        expected = PREAMBLE + wire_bytes(scan(40), Close())
        assert expected in [attempt.received for attempt in attempts[1:]]


async def test_an_error_of_the_chain_is_passed_on() -> None:
    async def script(line: Line) -> None:
        await line.until_close()
        await line.send(image(1), Text("[Stream/Gadget] ERROR: no such thing"), Close())

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        answer = await one_scan(gateway)
        assert numbers(answer) == [1]
        assert texts(answer) == ["[Stream/Gadget] ERROR: no such thing"]
        assert len(node.lines) == 1


async def test_a_scan_that_kills_every_node_ends_with_an_error() -> None:
    async with FakeNode(says_worker_lost) as node, gateway_before(node) as gateway:
        answer = await one_scan(gateway)
    (said,) = texts(answer)
    assert "died 3 times over this scan" in said
    assert isinstance(answer[-1], Close)
    assert numbers(answer) == [1]


async def test_a_node_that_is_not_there() -> None:
    async with FakeNode(gives(1)) as gone, FakeNode(gives(1)) as node:
        async with gateway_before(gone, node) as gateway:
            gone._server.close()
            for _ in range(4):
                assert numbers(await one_scan(gateway)) == [1]
        assert len(node.lines) == 4


async def test_queries_are_answered_here_and_never_seen_by_a_node() -> None:
    async with FakeNode(gives(1)) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        config, header = PREAMBLE[:1026], PREAMBLE[1026:]
        await client.send(Query("elastron::status", 7))
        await client.send_bytes(config)
        await client.send(Query("elastron::session", 8))
        await client.send_bytes(header)
        await client.send(scan(), Query("gadgetron::version", 9))
        await client.send_bytes(wire_bytes(Query("nonsense", 10))[:9])
        await asyncio.sleep(0.05)
        await client.send_bytes(wire_bytes(Query("nonsense", 10))[9:] + wire_bytes(scan(), Close()))
        answer = await client.rest()
        await client.close()
        assert node.lines[0].received == PREAMBLE + wire_bytes(scan(), scan(), Close())
    said = {one.correlation_id: one.response for one in answer if isinstance(one, Response)}
    assert json.loads(said[7])["nodes"] == 1
    assert len(json.loads(said[8])["session"]) == 8
    assert said[9].startswith("4.7.2+elastron")
    assert said[10] == "Unknown query"
    assert numbers(answer) == [1]


async def test_a_query_alone() -> None:
    async with gateway_before() as gateway:
        client = await client_of(gateway)
        await client.send(Query("gadgetron::version", 1), Close())
        response, close = await client.rest()
        assert isinstance(response, Response)
        assert isinstance(close, Close)
        await client.close()


async def test_half_close_reaches_the_node() -> None:
    async def script(line: Line) -> None:
        while await line.next() is not None:
            pass
        await line.send(image(1), Close())

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE + wire_bytes(scan()))
        client.half_close()
        assert numbers(await client.rest()) == [1]
        await client.close()


async def test_wrong_bytes_reach_the_node_which_answers() -> None:
    async def script(line: Line) -> None:
        data = b""
        while more := await line.reader.read(MIB):
            data += more
        await line.send(Text(f"[x] ERROR: I got {data[-3:]!r}"), Close())

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE + wire_bytes(scan()) + b"\xff\xff?")
        assert texts(await client.rest()) == ["[x] ERROR: I got b'\\xff\\xff?'"]
        await client.close()


async def test_a_client_that_vanishes_before_its_close() -> None:
    async with FakeNode(gives(1)) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE + wire_bytes(scan()))
        line = await until(lambda: node.lines and node.lines[0])
        client.vanish()
        await until(lambda: not gateway.sessions)
        with pytest.raises(ConnectionError):  # it is to stop, not to finish what it has
            await line.reader.read()
        assert gateway.journal_space.memory_bytes == 0


async def test_a_slow_reader_stops_the_node_and_not_the_memory() -> None:
    sent = 0

    async def script(line: Line) -> None:
        nonlocal sent
        await line.until_close()
        for number in range(400):
            await line.send(image(number, 256))
            sent += 1
        await line.send(Close())

    async with FakeNode(script) as node, gateway_before(node, output_bytes_max=MIB) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE + wire_bytes(Close()))
        before = -1
        while before != sent:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.3)
        assert gateway.journal_space.memory_bytes < 8 * MIB
        assert sent < 400
        assert numbers(await client.rest()) == list(range(400))
        await client.close()


async def test_a_message_larger_than_what_may_wait() -> None:
    async def script(line: Line) -> None:
        await line.until_close()
        await line.send(image(1, 1500), image(2), Close())

    async with FakeNode(script) as node, gateway_before(node, output_bytes_max=1) as gateway:
        assert numbers(await one_scan(gateway)) == [1, 2]


async def test_a_node_that_takes_nothing_stops_the_client() -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        await go.wait()
        await line.until_close()
        await line.send(image(1), Close())

    journal = {"memory_bytes_max": 8 * MIB, "room_timeout_s": 300}
    async with FakeNode(script) as node, gateway_before(node, journal=journal) as gateway:
        client = await client_of(gateway)
        data = wire_bytes(scan(100))
        taken = 0

        async def send() -> None:
            nonlocal taken
            await client.send_bytes(PREAMBLE)
            for _ in range(20):
                await client.send_bytes(data)
                taken += len(data)
            await client.send(Close())

        sending = asyncio.create_task(send())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sending), 2)
        assert taken < 60 * MIB
        go.set()
        await sending
        assert numbers(await client.rest()) == [1]
        await client.close()


async def test_a_scan_on_disk_is_replayed_bit_for_bit(tmp_path: Path) -> None:
    journal = {"memory_bytes_max": 8 * MIB, "folder": str(tmp_path)}
    async with (
        FakeNode(breaks_off, gives(1, 2)) as one,
        FakeNode(breaks_off, gives(1, 2)) as other,
        gateway_before(one, other, journal=journal) as gateway,
    ):
        answer = await one_scan(gateway, repetitions=600)
        assert numbers(answer) == [1, 2]
        expected = PREAMBLE + wire_bytes(scan(600), Close())
        assert len(expected) > 24 * MIB
        assert expected in [line.received for line in (one.lines + other.lines)[1:]]
        await until(lambda: not gateway.sessions)
        assert gateway.journal_space.disk_bytes == 0


async def test_a_scan_that_outgrows_the_journal_goes_on_unprotected() -> None:
    journal = {"memory_bytes_max": 8 * MIB}
    async with FakeNode(gives(1)) as node, gateway_before(node, journal=journal) as gateway:
        assert numbers(await one_scan(gateway, repetitions=600)) == [1]
    async with FakeNode(breaks_off) as node, gateway_before(node, journal=journal) as gateway:
        answer = await one_scan(gateway, repetitions=600)
        assert len(node.lines) == 1
        assert len(texts(answer)) == 1


async def test_or_is_refused() -> None:
    journal = {"memory_bytes_max": 8 * MIB, "when_full": "refuse"}
    async with FakeNode(gives(1)) as node, gateway_before(node, journal=journal) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE)
        await client.send(scan(600))
        (said,) = texts(await client.rest())
        assert "no room for more than" in said
        await client.close()


async def test_cancelled_by_an_operator() -> None:
    async def script(line: Line) -> None:
        await line.reader.read()

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE)
        await until(lambda: node.lines)
        (session,) = gateway.sessions.values()
        assert session.describe()["state"] == "running"
        assert gateway.cancel(session.id, "because I say so")
        assert not gateway.cancel("nobody", "x")
        client.half_close()
        answer = await client.rest()
        assert texts(answer) == [f"[{LOCATION}] ERROR: because I say so"]
        assert isinstance(answer[-1], Close)
        await client.close()


async def test_a_scan_waits_for_a_place_and_is_told_where_it_stands() -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        await line.until_close()
        await go.wait()
        await line.send(image(1), Close())

    async with FakeNode(script, capacity=1) as node, gateway_before(node) as gateway:
        first = asyncio.create_task(one_scan(gateway))
        await until(lambda: node.lines)
        second = asyncio.create_task(one_scan(gateway, repetitions=50))
        waiting = await until(
            lambda: [one for one in gateway.sessions.values() if one.state == "queued"]
        )
        await until(lambda: waiting[0].bytes_in > MIB)  # data flows on into the journal
        assert waiting[0].describe()["queue_position"] == 1
        go.set()
        assert numbers(await first) == numbers(await second) == [1]


async def test_a_config_alone_reaches_a_node() -> None:
    async def script(line: Line) -> None:
        message = await line.next()
        assert isinstance(message, ConfigName)
        await line.send(Text(f"[x] ERROR: no config {message.name}"), Close())

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE[:1026])
        assert texts(await client.rest()) == ["[x] ERROR: no config default.xml"]
        await client.close()


async def test_a_ticket_asked_for_late_gives_what_came_since() -> None:
    go = asyncio.Event()

    async def script(line: Line) -> None:
        for number in range(20):
            await line.send(image(number, 256))
        await go.wait()
        await line.until_close()
        await line.send(image(100), Close())

    async with FakeNode(script) as node, gateway_before(node) as gateway:
        client = await client_of(gateway)
        await client.send_bytes(PREAMBLE)
        assert numbers([await client.next() for _ in range(20)]) == list(range(20))
        await client.send(Query("elastron::session", 1))
        response = await client.next()
        assert isinstance(response, Response)
        ticket = json.loads(response.response)["ticket"]
        await client.send(Query("elastron::detach", 2), Close())
        assert isinstance(await client.next(), Response)
        await client.close()
        go.set()
        await until(lambda: not gateway.sessions)
        _, result = gateway.results.find(ticket)
        assert result is not None
        assert result.recording is not None
        decoder = Decoder()
        async for piece in result.recording.pieces():
            decoder.feed(piece)
        kept = list(decoder.messages())
        assert numbers(kept) == [100]
        assert isinstance(kept[-1], Close)
