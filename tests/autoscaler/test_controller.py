"""The controller against an API server that remembers, and nodes that answer over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from elastron.autoscaler.controller import Controller
from elastron.autoscaler.controller_admin import make_app
from elastron.autoscaler.controller_settings import ControlledPool, ControllerSettings, Scaler
from elastron.fleet.kubernetes.cluster import Cluster, ConflictError
from elastron.fleet.kubernetes.leadership import Lease
from elastron.fleet.kubernetes.upkeep import DELETION_COST, SAFE_TO_EVICT
from elastron.fleet.settings import ScheduleRule
from elastron.service.address import Address
from elastron.service.http import http_server
from tests.fleet.kubernetes.conftest import LEASES, NAMESPACE, PODS, SCALERS, SLICES, cluster, pod
from tests.patience import Patience

__all__ = ["cluster"]  # a fixture

NIGHT = datetime(2026, 3, 2, 3, tzinfo=UTC).timestamp()
MORNING = datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp()
RULE = ScheduleRule.model_validate(
    {"up": {"cron": "0 7 * * 1-5", "min": 5}, "down": {"cron": "0 18 * * 1-5", "min": 1}}
)


class Node:
    """Admin pages of a node, and of a gateway."""

    def __init__(self) -> None:
        self.sessions: list[dict[str, Any]] = []
        self.queue: list[dict[str, Any]] = []

    def app(self) -> Starlette:
        async def sessions(_request: Request) -> JSONResponse:
            return JSONResponse({"sessions": self.sessions})

        async def queue(_request: Request) -> JSONResponse:
            return JSONResponse({"queue": self.queue})

        return Starlette(routes=[Route("/sessions", sessions), Route("/queue", queue)])


@pytest.fixture
async def node() -> AsyncIterator[tuple[Node, int]]:
    answering = Node()
    async with http_server(answering.app(), Address("127.0.0.1", 0)) as bound:
        yield answering, bound.port


@contextlib.asynccontextmanager
async def _running(
    cluster: Cluster, port: int, name: str = "c1", now: Callable[[], float] = lambda: MORNING
) -> AsyncIterator[Controller]:
    settings = ControllerSettings(
        lease="lead",
        gateways="metrics",
        admin_port=port,
        interval_s=0.05,
        probe_timeout_s=60,
        pools=(
            ControlledPool(scaler=Scaler.HPA, object="nodes", max=9, schedule=(RULE,)),
        ),
    )  # fmt: skip
    controller = Controller(settings, cluster, name, clock=now)
    task = asyncio.create_task(controller.run())
    try:
        yield controller
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _pages(controller: Controller) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_app(controller))
    return httpx.AsyncClient(transport=transport, base_url="http://controller")


async def _until(true: Callable[[], bool]) -> None:
    patience = Patience(60)
    while not true():
        assert patience.lasts()
        await asyncio.sleep(0.02)


@pytest.fixture
def objects(kmock: Any) -> Any:
    kmock.objects[PODS, NAMESPACE, "node-0"] = pod("node-0", "127.0.0.1")
    kmock.objects[SCALERS, NAMESPACE, "nodes"] = {
        "metadata": {"name": "nodes", "namespace": NAMESPACE},
        "spec": {"minReplicas": 1, "maxReplicas": 9},
    }
    kmock.objects[SLICES, NAMESPACE, "metrics-1"] = {
        "metadata": {"name": "metrics-1", "namespace": NAMESPACE},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "targetRef": {"name": "gateway-0"}}],
    }
    return kmock.objects


def _annotations(objects: Any) -> dict[str, str]:
    return dict(objects[PODS, NAMESPACE, "node-0"]["metadata"]["annotations"])


def _minimum(objects: Any) -> int:
    return objects[SCALERS, NAMESPACE, "nodes"]["spec"]["minReplicas"]


async def test_a_busy_pod_is_not_to_leave(cluster: Cluster, objects: Any, node: tuple[Node, int]):
    answering, port = node
    answering.sessions = [{"state": "STREAM", "seconds": 700.0}]
    async with _running(cluster, port):
        await _until(lambda: _annotations(objects).get(SAFE_TO_EVICT) == "false")
        assert _annotations(objects)[DELETION_COST] == "12"
        answering.sessions = [{"state": "LINGER", "seconds": 701.0}]
        await _until(lambda: _annotations(objects).get(SAFE_TO_EVICT) == "true")
        assert _annotations(objects)[DELETION_COST] == "0"


async def test_the_minimum_follows_the_clock(
    cluster: Cluster, objects: Any, node: tuple[Node, int]
):
    now = MORNING
    async with _running(cluster, node[1], now=lambda: now):
        await _until(lambda: _minimum(objects) == 5)
        now = NIGHT
        await _until(lambda: _minimum(objects) == 1)


async def test_the_demand_is_of_all_nodes_and_gateways(
    cluster: Cluster, objects: Any, node: tuple[Node, int]
):
    answering, port = node
    answering.sessions = [{"state": "STREAM", "seconds": 1.0}]
    answering.queue = [{"pool": "default"}, {"pool": "default"}]
    async with _running(cluster, port) as controller:
        await _until(lambda: controller.demand == {"default": 3})
        async with _pages(controller) as client:
            assert (await client.get("/demand/default")).json() == {"demand": 3}
            assert (await client.get("/demand/other")).status_code == 404
            assert (await client.get("/status")).json()["nodes"] == {"node-0": 1}
        del objects[SLICES, NAMESPACE, "metrics-1"]
        # No gateway tells: half a demand is none.
        await _until(lambda: controller.demand is None)
        async with _pages(controller) as client:
            assert (await client.get("/demand/default")).status_code == 503


async def test_one_of_two_leads_and_hands_over(
    cluster: Cluster, objects: Any, node: tuple[Node, int]
):
    async with _running(cluster, node[1], "c1") as first:
        await _until(lambda: first.leading)
        async with _running(cluster, node[1], "c2") as second:
            await _until(lambda: second.describe()["leader"] == "c1")
            assert not second.leading
    # It gave the lease back on leaving: nobody waits for it to expire.
    assert objects[LEASES, NAMESPACE, "lead"]["spec"]["holderIdentity"] == ""
    async with _running(cluster, node[1], "c3") as third:
        await _until(lambda: third.leading)


async def test_it_hands_over_in_the_middle_of_a_renewal(
    cluster: Cluster, objects: Any, node: tuple[Node, int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("elastron.autoscaler.controller.RENEW_S", 0.01)
    async with _running(cluster, node[1]) as controller:
        await _until(lambda: controller.leading)
        written = asyncio.Event()
        write = cluster.write_lease

        async def unheard(*lease: Any) -> None:
            await write(*lease)
            written.set()
            await asyncio.Event().wait()  # the answer is lost

        async def strict(name: str, holder: str, known: Lease | None) -> Lease:
            """As a real server, which takes a write only of what was read."""
            if known != await cluster.lease(name):
                raise ConflictError(name)
            return await write(name, holder, known)

        monkeypatch.setattr(cluster, "write_lease", unheard)
        await asyncio.wait_for(written.wait(), 60)
        monkeypatch.setattr(cluster, "write_lease", strict)
    assert objects[LEASES, NAMESPACE, "lead"]["spec"]["holderIdentity"] == ""


async def test_one_that_stood_still_says_that_it_leads_no_more(
    cluster: Cluster, objects: Any, node: tuple[Node, int], monkeypatch: pytest.MonkeyPatch
):
    # As a machine does that is suspended: the lease passes on while nothing of ours runs.
    ahead_s = 0.0
    watch = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_s, time=time.time)
    monkeypatch.setattr("elastron.autoscaler.controller.time", watch)
    with capture_logs() as logs:
        async with _running(cluster, node[1]) as controller:
            await _until(lambda: controller.leading)
            kept = objects[LEASES, NAMESPACE, "lead"].raw
            objects[LEASES, NAMESPACE, "lead"] = kept | {
                "spec": kept["spec"] | {"holderIdentity": "another"}
            }
            ahead_s = 60.0
            await _until(lambda: "not leading any more" in [each["event"] for each in logs])
            assert not controller.leading


async def test_a_standby_changes_nothing(cluster: Cluster, objects: Any, node: tuple[Node, int]):
    objects[LEASES, NAMESPACE, "lead"] = {
        "metadata": {"name": "lead", "namespace": NAMESPACE, "resourceVersion": "1"},
        "spec": {"holderIdentity": "another", "renewTime": "t", "leaseDurationSeconds": 3600},
    }
    answering, port = node
    answering.sessions = [{"state": "STREAM", "seconds": 1.0}]
    async with _running(cluster, port) as controller:
        await _until(lambda: controller.demand == {"default": 1})
        assert not controller.leading
        assert not _annotations(objects)
        assert _minimum(objects) == 1


async def test_trouble_is_told_and_passes(cluster: Cluster, objects: Any, node: tuple[Node, int]):
    broken = objects[SCALERS, NAMESPACE, "nodes"].raw
    del objects[SCALERS, NAMESPACE, "nodes"]
    async with _running(cluster, node[1]) as controller:
        await _until(lambda: "404" in controller.describe()["trouble"].get("pods", ""))
        objects[SCALERS, NAMESPACE, "nodes"] = broken
        await _until(lambda: _minimum(objects) == 5)
        await _until(lambda: "pods" not in controller.describe()["trouble"])
