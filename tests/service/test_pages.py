"""The pages that every admin server has."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from elastron.service.pages import drain_page, health_page, metrics_page, readiness_page


class Served:
    def __init__(self) -> None:
        self.unready: str | None = None
        self.drained = 0

    def unready_reason(self) -> str | None:
        return self.unready

    def exposition(self) -> bytes:
        return b"elastron_demand 3\n"

    async def drain(self) -> int:
        self.drained += 1
        return 2


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.fixture
def client(served: Served) -> httpx.AsyncClient:
    pages = [
        health_page(),
        readiness_page(served.unready_reason),
        metrics_page(served.exposition),
        drain_page(served.drain),
    ]
    transport = httpx.ASGITransport(Starlette(routes=pages))
    return httpx.AsyncClient(transport=transport, base_url="http://here")


async def test_well(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).text == "ok\n"
    assert (await client.get("/readyz")).text == "ready\n"
    metrics = await client.get("/metrics")
    assert metrics.text == "elastron_demand 3\n"
    assert metrics.headers["content-type"].startswith("text/plain; version=")


async def test_unready_with_its_reason(served: Served, client: httpx.AsyncClient) -> None:
    served.unready = "draining"
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "draining\n")
    assert (await client.get("/healthz")).status_code == 200


async def test_a_drain_is_asked_for_by_post_from_nowhere_else(
    served: Served, client: httpx.AsyncClient
) -> None:
    assert (await client.get("/drain")).status_code == 405
    assert (
        await client.post("/drain", headers={"sec-fetch-site": "cross-site"})
    ).status_code == 403
    assert served.drained == 0
    assert (await client.post("/drain")).json() == {"drained": True, "cancelled": 2}
    assert served.drained == 1
