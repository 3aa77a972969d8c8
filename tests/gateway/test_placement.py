from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from elastron.errors import QueueFullError, QueueTimeoutError
from elastron.fleet.model import Demand
from elastron.fleet.queueing import Priority
from elastron.gateway.events import Events
from elastron.gateway.nodes import Registry
from elastron.gateway.placement import Placement, PlacementSettings, Placer, Request
from elastron.gateway.probing import Status

from .stand_ins import StandIn, registry, stand_in, until


@dataclass
class Parts:
    placer: Placer
    registry: Registry
    events: Events
    nodes: list[StandIn]

    def place(self, session: str, **what: Any) -> asyncio.Task[Placement]:
        return asyncio.create_task(self.placer.place(Request(session, **what)))

    async def waiting(self, session: str, **what: Any) -> asyncio.Task[Placement]:
        """A scan that waits."""
        task = self.place(session, **what)
        await until(lambda: self.placer.position(session), f"{session} in the queue")
        return task


@contextlib.asynccontextmanager
async def parts(
    *nodes: dict[str, Any] | int, known_by: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Parts]:
    """A placer before stand-in nodes, each given by its status or its capacity alone.

    Args:
        known_by: settings of the registry; others are the placer's.
    """
    async with contextlib.AsyncExitStack() as stack:
        stand_ins, specs = [], []
        for each in nodes:
            status = {"capacity": each} if isinstance(each, int) else dict(each)
            pool = status.pop("pool", "default")
            node = await stack.enter_async_context(stand_in(**status))
            stand_ins.append(node)
            specs.append(f"{node.spec}@{pool}")
        known = await stack.enter_async_context(registry(*specs, **(known_by or {})))
        events = Events()
        placer = Placer(known, PlacementSettings(**settings), events)
        yield Parts(placer, known, events, stand_ins)


async def test_a_free_place_is_given_at_once() -> None:
    async with parts(1, 2) as made:
        got = [await made.placer.place(Request(str(number))) for number in range(3)]
        assert Counter(each.node.address for each in got) == {
            made.nodes[0].address: 1,
            made.nodes[1].address: 2,
        }
        assert all(each.waited_s < 30 for each in got)
        assert made.placer.demand() == {"default": Demand(running=3, queued=0)}


async def test_a_scan_waits_for_a_place_and_is_told_its_position() -> None:
    async with parts(1) as made:
        first = await made.placer.place(Request("1"))
        told: list[int] = []
        second = await made.waiting("2")
        third = asyncio.create_task(
            made.placer.place(Request("3", tenant="t"), on_position=told.append)
        )
        await until(lambda: told, "a position")
        queue = made.placer.queue()
        assert [(each["session"], each["position"]) for each in queue] == [("3", 1), ("2", 2)]
        assert queue[0] | {"waiting_s": 0} == {
            "session": "3",
            "pool": "default",
            "position": 1,
            "priority": "inline",
            "tenant": "t",
            "waiting_s": 0,
        }
        assert made.placer.pools() == {"default": {"running": 1, "queued": 2, "capacity": 1}}
        first.release()
        first.release()  # does nothing
        # With the first scan its tenant's claim has changed: now both have none running.
        (await second).release()
        (await third).release()
        assert made.placer.queue() == []
        assert made.placer.pools() == {"default": {"running": 0, "queued": 0, "capacity": 1}}


async def test_a_place_that_becomes_free_is_given_within_a_millisecond() -> None:
    async with parts(1) as made:
        held = await made.placer.place(Request("0"))
        seconds = []
        for number in range(1, 60):
            task = await made.waiting(str(number))
            start = time.perf_counter()
            held.release()
            held = await task
            seconds.append(time.perf_counter() - start)
        assert min(seconds) < 1e-3


async def test_the_queue_has_a_limit() -> None:
    async with parts(1, queue_length_max=1) as made:
        held = await made.placer.place(Request("1"))
        waiting = await made.waiting("2")
        with pytest.raises(QueueFullError, match="1 scans wait already"):
            await made.placer.place(Request("3"))
        assert made.placer.position("2") == 1
        # A scan whose node failed is not turned away.
        held.release()
        second = await waiting
        third = await made.waiting("3")
        first = await made.waiting("1", after=held)
        assert [each["session"] for each in made.placer.queue()] == ["1", "3"]
        second.release()
        (await first).release()
        (await third).release()


async def test_waiting_has_a_limit() -> None:
    async with parts(1, queue_timeout_s=0.05) as made:
        held = await made.placer.place(Request("1"))
        with pytest.raises(QueueTimeoutError, match=r"became free within 0\.05 s"):
            await made.placer.place(Request("2"))
        assert made.placer.queue() == []
        held.release()
        (await made.placer.place(Request("3"))).release()


async def test_without_any_node_a_scan_waits_for_one() -> None:
    async with parts() as made:
        task = await made.waiting("1", pool="gpu")
        assert made.placer.demand() == {"gpu": Demand(running=0, queued=1)}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert made.placer.demand() == {}


async def test_a_new_node_is_used_at_once() -> None:
    async with parts({"capacity": 1, "ready": False}) as made:
        task = await made.waiting("1")
        made.nodes[0].status["ready"] = True
        (await asyncio.wait_for(task, 60)).release()


async def test_pools_and_capabilities() -> None:
    async with parts(1, {"capacity": 1, "pool": "gpu", "capabilities": ["gpu"]}) as made:
        gpu = await made.placer.place(Request("1", pool="gpu", needs=frozenset({"gpu"})))
        assert gpu.node.address == made.nodes[1].address
        waits = await made.waiting("2", pool="gpu")
        other = await made.placer.place(Request("3"))
        assert other.node.address == made.nodes[0].address
        gpu.release()
        (await waits).release()


async def test_inline_goes_before_offline() -> None:
    async with parts(1) as made:
        held = await made.placer.place(Request("1"))
        offline = await made.waiting("2", priority=Priority.OFFLINE)
        inline = await made.waiting("3")
        held.release()
        (await inline).release()
        (await offline).release()


async def test_a_refused_scan_comes_back_to_its_old_place_and_another_node() -> None:
    # It is full for as long, until it says so itself.
    async with parts(1, 1, known_by={"start_interval_s": 60}) as made:
        first = await made.placer.place(Request("1"))
        second = await made.placer.place(Request("2"))
        later = await made.waiting("3")
        refused = first.node.id
        made.nodes[0 if made.nodes[0].address == refused else 1].status["running"] = 1
        made.registry.full(refused)
        first.release()
        again = await made.waiting("1", after=first)
        assert [each["session"] for each in made.placer.queue()] == ["1", "3"]
        second.release()
        moved = await again
        assert moved.node.id == second.node.id
        moved.release()
        (await later).release()


async def test_excluded_nodes() -> None:
    async with parts(1, 1) as made:
        ids = frozenset(node.id for node in made.registry.nodes())
        first, second = sorted(ids)
        got = await made.placer.place(Request("1", exclude=frozenset({first})))
        assert got.node.id == second
        waits = await made.waiting("2", exclude=frozenset({first}))
        (await made.placer.place(Request("3"))).release()
        got.release()
        assert (await waits).node.id == second


async def test_cancelling_leaves_no_trace() -> None:
    async with parts(1) as made:
        held = await made.placer.place(Request("1"))
        task = await made.waiting("2")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made.placer.queue() == []
        task = await made.waiting("3")
        held.release()
        await asyncio.sleep(0)  # the decision is made; the task has not heard of it
        await asyncio.sleep(0)
        task.cancel()
        got = (await asyncio.gather(task, return_exceptions=True))[0]
        if isinstance(got, Placement):
            got.release()
        assert made.placer.demand() == {"default": Demand(0, 0)}


async def test_any_course_of_events_keeps_the_count() -> None:
    """Scans that end, are cancelled while they wait or just placed, or come back."""
    chance = random.Random(7)
    async with parts(2, 1, 3, queue_length_max=20) as made:
        running = Counter[str]()
        capacity = {node.id: node.capacity for node in made.registry.nodes()}

        async def scan(session: str) -> None:
            request = Request(session, tenant=chance.choice("ab"))
            for _ in range(3):
                placement = await made.placer.place(request)
                running[placement.node.id] += 1
                try:
                    assert running[placement.node.id] <= capacity[placement.node.id]
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
                finally:
                    running[placement.node.id] -= 1
                    placement.release()
                request = Request(session, tenant=request.tenant, after=placement)

        tasks = []
        for number in range(400):
            tasks.append(asyncio.create_task(scan(str(number))))
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            if chance.random() < 0.4:
                chance.choice(tasks[-20:]).cancel()
        async with asyncio.timeout(120):
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = Counter(type(end) for end in ends)
        assert set(kinds) <= {type(None), asyncio.CancelledError, QueueFullError}
        assert kinds[type(None)] > 20
        assert kinds[asyncio.CancelledError] > 20
        assert made.placer.queue() == []
        assert made.placer.demand() == {"default": Demand(0, 0)}
        assert all(each["placed"] == 0 for each in made.registry.describe())


async def test_a_node_found_dead_tells_its_scans() -> None:
    async with parts(2, 1) as made:
        first = await made.placer.place(Request("1"))
        assert first.node.address == made.nodes[0].address
        await made.nodes[0].stop()
        assert await asyncio.wait_for(asyncio.shield(first.lost), 60)
        assert made.placer.pools()["default"] == {"running": 0, "queued": 0, "capacity": 1}
        request = Request("1", exclude=frozenset({first.node.id}), after=first)
        first.release()
        second = await made.placer.place(request)
        assert second.node.address == made.nodes[1].address


async def test_changes_of_the_queue_are_told() -> None:
    async with parts(1) as made:
        with made.events.subscribe() as events:
            held = await made.placer.place(Request("1"))
            task = await made.waiting("2")
            told = [(await anext(events)).data["queue"]]
            held.release()
            await task
            while told[-1]:
                told.append((await anext(events)).data["queue"])
        assert [each["session"] for each in told[0]] == ["2"]


async def test_a_thousand_nodes_are_no_burden() -> None:
    """The best of many decisions, as the machine may be busy with others."""
    specs = [f"127.0.0.1:{port}" for port in range(1, 1001)]
    async with registry(*specs, start_wait_s=0) as known:
        await until(lambda: len(known.nodes()) == 1000, "all nodes")
        for watch in known._watches.values():  # as if each had answered
            watch.member.answered(Status(2, 0), own_before=0)
            known._changed(watch)
        placer = Placer(known, PlacementSettings(), Events())
        seconds = []
        for number in range(100):
            start = time.thread_time()
            await placer.place(Request(str(number), memory_bytes=10))
            seconds.append(time.thread_time() - start)
        assert min(seconds) < 5e-3
