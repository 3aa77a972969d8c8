from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from elastron.fleet.model import NodeState
from elastron.gateway import admin
from elastron.gateway.admin import ready_workers
from elastron.gateway.sse import event_stream
from tests.gateway.fake_gateway import NODES, FakeGateway, FakeSession, served
from tests.gateway.recordings import MemoryRecording


@pytest.fixture
async def gateway(tmp_path: Path) -> FakeGateway:
    return FakeGateway(tmp_path)


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with served(gateway) as client:
        yield client


async def test_the_index_lists_every_page(client: httpx.AsyncClient, gateway: FakeGateway):
    listed = {line.partition(" ")[2] for line in (await client.get("/")).json()}
    app = admin.make_app(gateway)  # type: ignore[arg-type]
    pages = {route.path for route in app.routes}  # type: ignore[attr-defined]
    assert {path.replace("{id}", "{session_id}") for path in listed} == pages - {
        "/",
        "/sessions/{session_id}/cancel",
    }


async def test_health_and_readiness(client: httpx.AsyncClient, gateway: FakeGateway):
    assert (await client.get("/healthz")).text == "ok\n"
    assert (await client.get("/readyz")).status_code == 200
    gateway.draining = True
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "draining\n")
    assert (await client.get("/healthz")).status_code == 200


async def test_fleet_queue_and_sessions(client: httpx.AsyncClient, gateway: FakeGateway):
    gateway.placer.waiting = [{"session": "b", "position": 1}]
    gateway.sessions["a"] = FakeSession("a")
    fleet = (await client.get("/fleet")).json()
    assert [node["id"] for node in fleet["nodes"]] == ["a", "b", "c", "d"]
    assert fleet["pools"] == {"default": {"running": 5, "queued": 1, "capacity": 9}}
    assert (await client.get("/queue")).json() == {"queue": [{"session": "b", "position": 1}]}
    sessions = (await client.get("/sessions")).json()
    assert sessions == {"draining": False, "sessions": [gateway.sessions["a"].describe()]}


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient):
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "elastron_results_bytes 0.0" in answer.text


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/sessions/a"), ("POST", "/sessions/a/cancel")]
)
async def test_sessions_can_be_cancelled(
    client: httpx.AsyncClient, gateway: FakeGateway, method: str, path: str
):
    assert (await client.request(method, path)).status_code == 404
    gateway.sessions["a"] = session = FakeSession("a")
    assert (await client.request(method, path)).status_code == 202
    assert session.cancelled == "cancelled by the operator"


async def test_draining_answers_when_all_is_done(client: httpx.AsyncClient, gateway: FakeGateway):
    assert (await client.post("/drain")).json() == {"drained": True, "cancelled": 0}
    assert gateway.draining


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/sessions/a"),
        ("POST", "/sessions/a/cancel"),
        ("POST", "/drain"),
        ("GET", "/results/x"),
    ],
)
async def test_pages_of_other_sites_may_not(
    client: httpx.AsyncClient, gateway: FakeGateway, method: str, path: str
):
    gateway.sessions["a"] = session = FakeSession("a")
    for site in ("cross-site", "same-site"):
        answer = await client.request(method, path, headers={"sec-fetch-site": site})
        assert answer.status_code == 403
    assert session.cancelled is None
    assert not gateway.draining


# Workers


async def test_workers_are_ready_ones_least_loaded_first(client: httpx.AsyncClient):
    assert (await client.get("/workers")).json() == ["127.0.0.1:41002", "127.0.0.1:41001"]
    answer = await client.get("/workers", params={"not": "127.0.0.1:41002"})
    assert answer.json() == ["127.0.0.1:41001"]


def test_load_is_the_share_of_places_taken():
    large = replace(NODES[0], id="large", address="n:1", capacity=100, running=10)
    small = replace(NODES[0], id="small", address="n:2", capacity=2, running=1)
    empty = replace(NODES[0], id="empty", address="n:3", capacity=1, running=0)
    assert ready_workers([small, large, empty]) == ["n:3", "n:1", "n:2"]


def test_who_asks_is_known_by_its_address_if_it_lives_there_alone():
    pods = [
        replace(node, address=f"10.0.0.{number}:9002", state=NodeState.READY)
        for number, node in enumerate(NODES, 1)
    ]
    assert "10.0.0.2:9002" not in ready_workers(pods, peer="10.0.0.2")
    assert "10.0.0.2:9002" not in ready_workers(pods, peer="::ffff:10.0.0.2")
    assert len(ready_workers(pods, peer="10.0.0.99")) == 4
    v6 = [replace(pods[0], address="[fd00::1]:9002"), pods[1]]
    assert ready_workers(v6, peer="fd00:0::1") == ["10.0.0.2:9002"]
    assert len(ready_workers(NODES, peer="127.0.0.1")) == 2  # several live there


# Events


class Listener:
    """Reads an event stream: (number, kind, data), comments as kind ``comment``."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def next(self) -> tuple[int | None, str, Any]:
        found: dict[str, str] = {}
        async with asyncio.timeout(60):
            async for line in self._lines:
                if line.startswith(":"):
                    found["event"] = "comment"
                elif line:
                    name, _, value = line.partition(": ")
                    found[name] = value
                elif found:
                    break
        number = int(found["id"]) if "id" in found else None
        return number, found["event"], json.loads(found.get("data", "null"))

    async def rest(self) -> list[str]:
        async with asyncio.timeout(60):
            return [line async for line in self._lines]


async def test_events_begin_with_how_things_are(client: httpx.AsyncClient, gateway: FakeGateway):
    gateway.sessions["a"] = FakeSession("a")
    gateway.events.publish("node", {"id": "before"})
    async with client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        listener = Listener(answer)
        number, kind, data = await listener.next()
        assert (number, kind) == (1, "snapshot")
        assert set(data) == {"nodes", "pools", "queue", "sessions"}
        gateway.events.publish("node", {"id": "a", "state": "dead"})
        gateway.events.publish("queue", {"queue": []})
        assert await listener.next() == (2, "node", {"id": "a", "state": "dead"})
        assert await listener.next() == (3, "queue", {"queue": []})


async def test_running_sessions_figures_are_told_when_they_move(
    client: httpx.AsyncClient, gateway: FakeGateway
):
    gateway.sessions["a"], gateway.sessions["b"] = FakeSession("a"), FakeSession("b")
    async with client.stream("GET", "/events") as answer:
        listener = Listener(answer)
        await listener.next()
        gateway.sessions["a"].figures.update(bytes_in=1234, images=2)
        _, kind, data = await listener.next()
    assert kind == "progress"
    figures = {"id": "a", "bytes_in": 1234, "bytes_out": 0, "images": 2, "queue_position": None}
    assert data == {"sessions": [figures]}


async def test_a_listener_that_leaves_is_forgotten(client: httpx.AsyncClient, gateway: FakeGateway):
    async with client.stream("GET", "/events") as answer:
        await Listener(answer).next()
        assert gateway.events.subscribers == 1
    await until(lambda: gateway.events.subscribers == 0)


async def test_the_end_is_told(client: httpx.AsyncClient, gateway: FakeGateway):
    async with client.stream("GET", "/events") as answer:
        listener = Listener(answer)
        await listener.next()
        gateway.events.close()
        assert (await listener.next())[1] == "closed"
        assert await listener.rest() == []


async def test_too_many_listeners_are_refused(client: httpx.AsyncClient, gateway: FakeGateway):
    held = [gateway.events.subscribe() for _ in range(64)]
    answer = await client.get("/events")
    assert answer.status_code == 503
    assert "64 listen" in answer.json()["error"]
    held[0].close()
    async with client.stream("GET", "/events") as stream:
        assert stream.status_code == 200


async def test_who_never_reads_is_dropped_and_bounded(
    client: httpx.AsyncClient, gateway: FakeGateway
):
    host, port = client.base_url.host, client.base_url.port
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, port))
        deaf.sendall(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: gateway.events.subscribers == 1)
        for _ in range(20_000):
            gateway.events.publish("node", {"id": "x" * 1000})
            if not gateway.events.subscribers:
                break
            await asyncio.sleep(0)
        assert gateway.events.subscribers == 0
        assert (await client.get("/healthz")).status_code == 200


async def test_silence_is_broken_by_a_comment(gateway: FakeGateway):
    subscription = gateway.events.subscribe()
    stream = event_stream(subscription, dict, list, heartbeat_s=0.01, progress_s=100)
    async with asyncio.timeout(60):
        chunks = [await anext(stream) for _ in range(3)]
    await stream.aclose()
    assert chunks[1:] == [b": still here\n\n"] * 2
    assert gateway.events.subscribers == 0


# Results


async def test_results_are_there_for_who_has_the_ticket(
    client: httpx.AsyncClient, gateway: FakeGateway
):
    ticket = gateway.results.issue("5e55")
    gateway.sessions["5e55"] = FakeSession("5e55", state="queued", queue_position=3)
    answer = await client.get(f"/results/{ticket}")
    assert answer.status_code == 202
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["state"] == "queued"
    assert answer.json()["queue_position"] == 3

    data = bytes(range(256)) * 1000
    gateway.results.keep("5e55", MemoryRecording(data), outcome="ok", images=7)
    answer = await client.get(f"/results/{ticket}")
    assert answer.status_code == 200
    assert answer.content == data
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["elastron-outcome"] == "ok"
    assert answer.headers["elastron-images"] == "7"
    assert answer.headers["cache-control"] == "no-store"

    listed = await client.get("/results")
    assert listed.json()["results"][0]["images"] == 7
    assert ticket is not None
    assert ticket.partition("-")[2] not in listed.text
    assert (await client.get("/results/5e55")).status_code == 404
    assert (await client.get("/results/5e55-wrong")).status_code == 404


async def test_expired_results_are_gone(client: httpx.AsyncClient, gateway: FakeGateway):
    ticket = gateway.results.issue("5e55")
    gateway.results.discard("5e55")
    answer = await client.get(f"/results/{ticket}")
    assert answer.status_code == 410
    assert "send the scan again" in answer.json()["error"]


async def test_who_fetches_and_never_reads_is_let_go(gateway: FakeGateway):
    ticket = gateway.results.issue("5e55")
    recording = MemoryRecording(bytes(64 << 20), piece_bytes=1 << 20)
    gateway.results.keep("5e55", recording, outcome="ok", images=1)
    _, result = gateway.results.find(ticket or "")
    assert result is not None
    async with served(gateway, stall_s=1) as client:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((client.base_url.host, client.base_url.port))
            deaf.sendall(f"GET /results/{ticket} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            await until(lambda: result.readers == 1)
            await until(lambda: result.readers == 0)
        assert (await client.get("/healthz")).status_code == 200
    async with served(gateway) as client:  # has the usual patience
        assert (await client.get(f"/results/{ticket}")).status_code == 200


# Archive


async def test_the_archive_is_listed(tmp_path: Path):
    gateway = FakeGateway(tmp_path, archive="all")
    await gateway.archive.start()
    recordings = MemoryRecording(b"in"), MemoryRecording(b"out")
    name = await gateway.archive.keep("aaaa", {"config": "default.xml"}, *recordings, "ok")
    async with served(gateway) as client:
        told = (await client.get("/archive")).json()
    await gateway.archive.stop()
    assert told["scans"] == 1
    assert told["archive"][0]["id"] == name
    assert told["archive"][0]["config"] == "default.xml"
    assert told["folder"] == str(tmp_path / "archive")


async def test_no_archive_is_said(client: httpx.AsyncClient):
    answer = await client.get("/archive")
    assert answer.status_code == 404
    assert "archive.keep" in answer.json()["error"]


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)
