from __future__ import annotations

import asyncio
import itertools

import httpx
import pytest

from elastron.autoscaler import Autoscaler, View
from elastron.autoscaler.admin import make_app
from elastron.autoscaler.metrics import AutoscalerMetrics
from elastron.autoscaler.view import Load
from elastron.errors import ElastronError
from elastron.fleet.model import Demand, Node, NodeState
from elastron.fleet.settings import FleetSettings, parse_fleet
from tests.patience import Patience

FLEET = """
pools: {default: {min: 1, max: 6}}
poll_s: 0.01
scaling: {scale_down: {stabilisation_window_s: 2}, buffer: 0}
"""


class World:
    """A backend whose nodes are there at once, and the gateway in front of them."""

    def __init__(self) -> None:
        self.there: dict[str, Node] = {}
        self.running: dict[str, int] = {}
        self.queued = 0
        self.answers = True
        self.now = 1_800_000_000.0
        self._numbers = itertools.count(1)

    async def nodes(self) -> list[Node]:
        return list(self.there.values())

    async def start(self, pool: str, count: int) -> None:
        for _ in range(count):
            name = f"node-{next(self._numbers)}"
            self.there[name] = Node(name, "", pool=pool, state=NodeState.READY)

    async def stop(self, ids) -> None:
        for name in ids:
            assert not self.running.get(name), "a scan would be disturbed"
            del self.there[name]

    async def read(self) -> View:
        if not self.answers:
            raise ElastronError("not there")
        loads = {}
        for name in self.there:
            count = self.running.get(name, 0)
            loads[name] = Load(NodeState.BUSY if count else NodeState.READY, count)
        running = sum(self.running.values())
        return View({"default": Demand(running, self.queued)}, loads)

    def place(self) -> None:
        for name in self.there:
            if self.queued and not self.running.get(name):
                self.running[name], self.queued = 1, self.queued - 1

    def autoscaler(self, settings: FleetSettings | None = None, **options) -> Autoscaler:
        fleet = settings or parse_fleet(FLEET)
        return Autoscaler(self, self, fleet, clock=lambda: self.now, **options)


@pytest.fixture
def world() -> World:
    return World()


async def steps(world: World, autoscaler: Autoscaler, count: int) -> None:
    for _ in range(count):
        await autoscaler.step()
        world.place()
        world.now += 0.5


async def test_a_fleet_grows_with_its_queue_and_shrinks_when_all_is_done(world):
    autoscaler = world.autoscaler()
    await steps(world, autoscaler, 1)
    assert len(world.there) == 1
    world.queued = 20
    await steps(world, autoscaler, 2)
    assert len(world.there) == 6
    world.queued = 0
    world.running = dict.fromkeys(list(world.running)[:2], 1)
    await steps(world, autoscaler, 20)
    assert set(world.there) == set(world.running)
    world.running = {}
    await steps(world, autoscaler, 20)
    assert len(world.there) == 1


async def test_a_fleet_is_held_while_the_gateway_is_silent(world):
    autoscaler = world.autoscaler()
    world.queued = 5
    await steps(world, autoscaler, 4)
    there = dict(world.there)
    world.answers, world.running, world.queued = False, {}, 0
    await steps(world, autoscaler, 40)
    assert world.there == there
    assert not autoscaler.answered
    world.answers = True
    await steps(world, autoscaler, 40)
    assert len(world.there) == 1


async def test_a_crashed_node_is_replaced_even_then(world):
    autoscaler = world.autoscaler()
    await steps(world, autoscaler, 1)
    world.answers = False
    world.there.clear()
    await steps(world, autoscaler, 1)
    assert len(world.there) == 1


async def test_an_operator_holds_a_pool_and_lets_it_go(world):
    pins: dict[str, int] = {}
    autoscaler = world.autoscaler(pins=lambda: pins)
    await steps(world, autoscaler, 1)
    pins["default"] = 4
    await steps(world, autoscaler, 1)
    assert len(world.there) == 4
    assert autoscaler.describe()["pools"]["default"]["pinned"]
    pins["default"] = 0
    await steps(world, autoscaler, 1)
    assert not world.there
    pins.clear()
    await steps(world, autoscaler, 1)
    assert len(world.there) == 1


async def test_a_clock_that_is_set_back_does_no_harm(world):
    autoscaler = world.autoscaler()
    world.queued = 6
    await steps(world, autoscaler, 2)
    world.now -= 3600
    await steps(world, autoscaler, 4)
    assert len(world.there) == 6


async def test_the_loop_survives_a_backend_that_cannot(world):
    class Full(World):
        failures = 0

        async def start(self, pool: str, count: int) -> None:
            if self.failures < 2:
                self.failures += 1
                raise OSError(11, "no more processes")
            await super().start(pool, count)

    full = Full()
    running = asyncio.create_task(full.autoscaler().run())
    patience = Patience(60)
    while not full.there:
        assert patience.lasts()
        await asyncio.sleep(0.01)
    running.cancel()


async def test_metrics_and_status_tell_what_was_decided(world):
    metrics = AutoscalerMetrics(
        lambda: {"default": 3}, lambda: {"default": 1}, lambda: {"default": 7.5}
    )
    autoscaler = world.autoscaler(metrics=metrics)
    await steps(world, autoscaler, 1)
    transport = httpx.ASGITransport(make_app(autoscaler, metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://autoscaler") as client:
        text = (await client.get("/metrics")).text
        assert 'elastron_desired_nodes{pool="default"} 1.0' in text
        assert 'elastron_node_starts_total{pool="default"} 3.0' in text
        assert 'elastron_node_crashes_total{pool="default"} 1.0' in text
        assert 'elastron_node_seconds_total{pool="default"} 7.5' in text
        assert "elastron_autoscaler_held 0.0" in text
        status = (await client.get("/status")).json()
        assert status["pools"]["default"]["desired"] == 1
        assert "needed" in status["pools"]["default"]["why"]
        assert (await client.get("/readyz")).status_code == 200
        world.answers = False
        await steps(world, autoscaler, 1)
        assert (await client.get("/readyz")).status_code == 503
        assert "elastron_autoscaler_held 1.0" in (await client.get("/metrics")).text
