"""Scans left with the gateway, archived, fetched and sent again: real gateway, real node."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from elastron.client import Client, RecordedScan, Result, ScanRefusedError, Ticket
from elastron.client.fetch import NotThereError, Waiting, fetch
from elastron.gateway import Gateway, GatewaySettings
from elastron.wire import Decoder, encode
from elastron.wire.messages import (
    Close,
    ConfigName,
    ConfigXml,
    HeaderXml,
    Message,
    Query,
    Response,
)
from tests.gateway.harness import PATIENCE
from tests.node.harness import HEADER, NodeProcess, running_node, scan, stream_config

REPETITIONS = 3


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    folder = tmp_path_factory.mktemp("node")
    with running_node(folder, capacity=1, cancel_grace_s=0.5) as node:
        yield node


class Served:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        assert gateway.address is not None
        self.client = Client("127.0.0.1", gateway.address.port, timeout=60)
        self.url = f"http://{gateway.admin_address}"

    async def send(self, config: str = "default.xml") -> Result:
        return await asyncio.to_thread(self.client.send, (HEADER, [scan(REPETITIONS)]), config)

    async def leave(self, config: Any = "default.xml") -> Ticket:
        return await asyncio.to_thread(self.client.detach, (HEADER, [scan(REPETITIONS)]), config)

    async def fetch(self, ticket: Ticket, **options: Any) -> Result:
        return await asyncio.to_thread(fetch, self.url, ticket.ticket, **options)

    async def sessions(self) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False) as http:
            return (await http.get("/sessions")).json()["sessions"]

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(node: NodeProcess, **settings: Any) -> AsyncIterator[Served]:
    admin = node.admin.rpartition(":")[2]
    given = {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "registry": {"nodes": (f"127.0.0.1:{node.port}/{admin}",), **PATIENCE},
        **settings,
    }
    async with Gateway(GatewaySettings.model_validate(given)) as gateway:
        yield Served(gateway)


def assert_same(first: Result, second: Result) -> None:
    assert first.image_count == second.image_count == REPETITIONS
    for one, other in zip(first.images, second.images, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert one.header.tobytes() == other.header.tobytes()
        assert one.meta == other.meta


async def test_the_images_of_a_scan_that_was_left_are_those_of_one_that_was_not(node: NodeProcess):
    async with serving(node) as served:
        at_once = await served.send()
        ticket = await served.leave()
        later = await served.fetch(ticket)
        assert_same(at_once, later)
        again = await served.fetch(ticket)
        assert_same(at_once, again)
        assert served.gateway.results.bytes == later.bytes_received
    assert served.gateway.journal_space.memory_bytes == 0


async def test_a_client_that_stays_leaves_nothing_behind(node: NodeProcess):
    async with serving(node) as served:
        await served.send()
        await served.until(lambda: not served.gateway.sessions)
        assert served.gateway.results.describe() == []
        assert served.gateway.results.bytes == 0


async def test_while_it_waits_and_runs_the_ticket_tells_so(node: NodeProcess):
    async with serving(node) as served:
        blocker = await served.leave(stream_config("SlowGadget:seconds=600").xml)
        await served.until(lambda: served.gateway.sessions[blocker.session].describe()["node"])
        ticket = await served.leave()
        waits: list[Waiting] = []
        fetching = asyncio.create_task(served.fetch(ticket, on_waiting=waits.append))
        await served.until(lambda: waits)
        assert waits[0].session == ticket.session
        assert waits[0].queue_position == 1
        async with httpx.AsyncClient(base_url=served.url, timeout=60, trust_env=False) as http:
            answer = await http.delete(f"/sessions/{blocker.session}")
        assert answer.status_code == 202
        assert (await fetching).image_count == REPETITIONS
        with pytest.raises(ScanRefusedError, match="cancelled by the operator"):
            await served.fetch(blocker)


async def test_errors_of_the_chain_are_fetched_too(node: NodeProcess):
    async with serving(node) as served:
        ticket = await served.leave(stream_config("FailGadget").xml)
        with pytest.raises(ScanRefusedError, match="ERROR"):
            await served.fetch(ticket)


async def test_after_its_time_a_result_is_gone(node: NodeProcess):
    async with serving(node, results={"retain_s": 0}) as served:
        ticket = await served.leave()
        with pytest.raises(NotThereError, match="send the scan again"):
            await served.fetch(ticket)
        assert served.gateway.results.bytes == 0


class RudeClient:
    """Leaves a scan by hand, reads no image, and says when it goes and how."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def leave(self) -> Ticket:
        """Up to the gateway's word that it has everything."""
        self._send(Query("elastron::session", 1))
        told = json.loads(until_response(self.socket, 1).response)
        self._send(ConfigName("default.xml"), HeaderXml(HEADER))
        self._send(scan(REPETITIONS), Query("elastron::detach", 2), Close())
        until_response(self.socket, 2)
        return Ticket(told["session"], told["ticket"])

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def _send(self, *messages: Message) -> None:
        for message in messages:
            for buffer in encode(message):
                self.socket.sendall(buffer)


async def test_leaving_with_a_reset_loses_nothing(node: NodeProcess):
    async with serving(node) as served:
        at_once = await served.send()
        client = await asyncio.to_thread(RudeClient, served.client.address.port)
        ticket = await asyncio.to_thread(client.leave)
        client.reset()
        assert_same(at_once, await served.fetch(ticket))


async def test_images_that_lie_unread_in_its_socket_do_not_count_as_taken(node: NodeProcess):
    async with serving(node) as served:
        at_once = await served.send()
        client = await asyncio.to_thread(RudeClient, served.client.address.port)
        ticket = await asyncio.to_thread(client.leave)
        await served.until(lambda: not served.gateway.sessions)
        client.reset()
        assert_same(at_once, await served.fetch(ticket))


def until_response(sock: socket.socket, correlation_id: int) -> Response:
    decoder = Decoder()
    while True:
        data = sock.recv(1 << 16)
        assert data, "the gateway hung up"
        decoder.feed(data)
        for message in decoder.messages():
            if isinstance(message, Response) and message.correlation_id == correlation_id:
                return message


async def test_tickets_are_in_no_list_and_no_event(node: NodeProcess):
    async with serving(node) as served:
        events = []
        with served.gateway.events.subscribe() as subscription:
            ticket = await served.leave()
            await served.until(lambda: not served.gateway.sessions)
            while True:
                try:
                    async with asyncio.timeout(0.2):
                        events.append(await subscription.next())
                except TimeoutError:
                    break
        secret = ticket.ticket.partition("-")[2]
        assert events
        assert secret not in str(events)
        async with httpx.AsyncClient(base_url=served.url, timeout=60, trust_env=False) as http:
            for page in ("/sessions", "/results", "/fleet", "/queue", "/metrics", "/"):
                assert secret not in (await http.get(page)).text


# Archive


async def test_all_scans_are_archived_as_they_came_and_can_be_sent_again(
    node: NodeProcess, tmp_path: Path
):
    archive = {"keep": "all", "folder": tmp_path / "archive", "free_bytes_min": 0}
    async with serving(node, archive=archive) as served:
        first = await served.send()
        await served.until(served.gateway.archive.folder.entries)
        (entry,) = served.gateway.archive.folder.entries()
        assert entry.meta["outcome"] == "ok"
        assert entry.meta["config"] == "default.xml"
        assert entry.meta["images"] == REPETITIONS
        sent = b"".join(
            bytes(buffer)
            for message in (
                ConfigName("default.xml"),
                HeaderXml(HEADER),
                scan(REPETITIONS),
                Close(),
            )
            for buffer in encode(message)
        )
        assert (entry.path / "scan.mrd-stream").read_bytes() == sent
        assert len((entry.path / "images.mrd-stream").read_bytes()) == first.bytes_received
        recorded = RecordedScan.open(entry.path / "scan.mrd-stream")
        again = await asyncio.to_thread(served.client.resend, recorded)
    assert_same(first, again)


async def test_only_failed_scans_are_archived_if_so_wished(node: NodeProcess, tmp_path: Path):
    archive = {"keep": "failed", "folder": tmp_path / "archive", "free_bytes_min": 0}
    async with serving(node, archive=archive) as served:
        await served.send()
        config = stream_config("FailGadget")
        assert isinstance(config, ConfigXml)
        with pytest.raises(ScanRefusedError):
            await served.send(config.xml)  # type: ignore[arg-type]
        await served.until(served.gateway.archive.folder.entries)
        await served.until(lambda: not served.gateway.sessions)
        (entry,) = served.gateway.archive.folder.entries()
        assert entry.meta["outcome"] == "error"
        recorded = RecordedScan.open(entry.path / "scan.mrd-stream")
        assert recorded.complete
        again = await asyncio.to_thread(served.client.resend, recorded, "default.xml")
        assert again.image_count == REPETITIONS


async def test_what_is_archived_can_be_deidentified(node: NodeProcess, tmp_path: Path):
    archive = {
        "keep": "all",
        "folder": tmp_path / "archive",
        "free_bytes_min": 0,
        "deidentify": True,
    }
    async with serving(node, archive=archive) as served:
        first = await served.send()
        await served.until(served.gateway.archive.folder.entries)
        (entry,) = served.gateway.archive.folder.entries()
        for path in entry.path.iterdir():
            assert b"Doe" not in path.read_bytes()
        recorded = RecordedScan.open(entry.path / "scan.mrd-stream")
        again = await asyncio.to_thread(served.client.resend, recorded)
    for one, other in zip(first.images, again.images, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
