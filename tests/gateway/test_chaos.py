"""No scan is lost in a small storm of a fixed plan; `make chaos` makes a big one."""

from __future__ import annotations

import asyncio
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chaos.fleet import ChaosFleet, GatewayProcess, running_fleet
from tests.chaos.scans import compare, failing, kinds, send
from tests.chaos.storm import Storm
from tests.node.harness import wait_for

# All on one loop and one fleet: to start nodes takes longer than to hurt them.
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

DEFAULT, LONG, *_ = kinds()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ChaosFleet]:
    async with running_fleet(tmp_path_factory.mktemp("fleet"), nodes=3) as fleet:
        yield fleet


async def test_every_client_gets_everything_once_in_a_storm(fleet: ChaosFleet) -> None:
    storm = Storm(fleet, seed=20261122, scans=40, clients=8, fault_every_s=0.4)
    report = await storm.run()
    text = "\n".join(report.lines())
    assert report.scans.total() == 40, text
    assert report.faults.total() >= 3, text
    assert sum(report.replays.values()) >= 1, text
    assert not report.differences, text


def replays(fleet: ChaosFleet) -> Counter[str]:
    """By reason, but for those of nodes that a busy machine kept from answering in time."""
    counted = Counter(fleet.gateway.metrics("elastron_replays_total"))
    late = [
        line
        for line in fleet.gateway.log()
        if line["event"] == "node failed" and re.search("no answer within|in time", line["reason"])
    ]
    return counted - Counter(dead=len(late))


def all_ready(fleet: ChaosFleet) -> bool:
    nodes = fleet.gateway.get("/fleet").json()["nodes"]
    return all(node["state"] in ("ready", "busy") for node in nodes)


@pytest.mark.parametrize("how", ["kill", "exit"])
async def test_a_scan_that_kills_every_node_it_meets_is_given_up(
    fleet: ChaosFleet, how: str
) -> None:
    await asyncio.to_thread(wait_for, lambda: all_ready(fleet), what="all nodes ready")
    good = asyncio.create_task(send(LONG, fleet.gateway.port))
    answer = await send(failing(how), fleet.gateway.port)
    (text,) = answer.texts()
    assert answer.closed
    assert "the reconstruction process died 3 times over this scan" in text
    assert "its data or its config" in text
    # On a busy machine a probe may miss a node for a moment; then one is tried twice.
    assert sum(node.name in text for node in fleet.nodes) >= 2
    assert not compare(await good, await send(LONG, fleet.gateway.port))


@pytest.mark.parametrize("how", ["raise", "memory"])
async def test_an_error_of_the_chain_is_passed_on_and_not_tried_again(
    fleet: ChaosFleet, how: str
) -> None:
    before = await asyncio.to_thread(replays, fleet)
    answer = await send(failing(how), fleet.gateway.port)
    (text,) = answer.texts()
    assert answer.closed
    assert "/FailGadget] ERROR: " in text
    assert await asyncio.to_thread(replays, fleet) == before


async def test_no_client_notices_a_rolling_restart(fleet: ChaosFleet) -> None:
    before = await asyncio.to_thread(replays, fleet)
    undisturbed = await send(DEFAULT, fleet.gateway.port)
    assert undisturbed.messages
    assert not compare(undisturbed, undisturbed)
    rolling, sent = True, asyncio.Semaphore(0)

    async def scan_on() -> None:
        while rolling:
            answer = await send(DEFAULT, fleet.gateway.port)
            assert not compare(answer, undisturbed)
            sent.release()

    async with asyncio.TaskGroup() as clients:
        for _ in range(3):
            clients.create_task(scan_on())
        for node in fleet.nodes:
            await sent.acquire()
            assert await node.drain() == 0
            await node.start()
        rolling = False
    # Nothing that ran was stopped; at most a scan met a closing door, and went elsewhere.
    after = await asyncio.to_thread(replays, fleet)
    assert set(after - before) <= {"connection", "draining"}


async def test_a_gateway_that_is_told_to_end_finishes_what_runs(
    fleet: ChaosFleet, tmp_path: Path
) -> None:
    registry = {"nodes": [node.listed for node in fleet.nodes]}
    gateway = await asyncio.to_thread(GatewayProcess, tmp_path, registry=registry)
    try:
        undisturbed = await send(LONG, fleet.gateway.port)
        running = [asyncio.create_task(send(LONG, gateway.port, slowly=4)) for _ in range(2)]
        await asyncio.to_thread(
            wait_for,
            lambda: len(gateway.get("/sessions").json()["sessions"]) == 2,
            what="two sessions",
        )
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(gateway.wait_for_log, "draining")
        late = await send(DEFAULT, gateway.port)
        for answer in await asyncio.gather(*running):
            assert not compare(answer, undisturbed)
        assert late.trouble
        assert await asyncio.to_thread(gateway.process.wait) == 0
    finally:
        await asyncio.to_thread(gateway.stop)
