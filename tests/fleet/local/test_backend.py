"""The backend with stand-ins for nodes: real processes that start in a tenth of a second."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from elastron.fleet.local import backend as backend_module
from elastron.fleet.local import backoff as backoff_module
from elastron.fleet.local import health as health_module
from elastron.fleet.local import member as member_module
from elastron.fleet.local.backend import LocalBackend
from elastron.fleet.local.folder import Order, Role
from elastron.fleet.local.template import NodeTemplate
from elastron.fleet.model import Node, NodeState
from tests.patience import Patience

PATIENCE_S = 60
TEMPLATE = NodeTemplate({"capacity": 1}, capabilities=frozenset({"gpu"}))


@pytest.fixture
def make(folder, launcher, monkeypatch) -> Callable[..., LocalBackend]:
    monkeypatch.setattr(health_module, "_ANSWER_S", PATIENCE_S)

    def backend(**templates: NodeTemplate) -> LocalBackend:
        return LocalBackend(folder, templates or {"default": TEMPLATE}, launcher)

    return backend


async def until(condition: Callable[[], Any]) -> Any:
    patience = Patience(PATIENCE_S)
    while not (value := condition()):
        assert patience.lasts()
        await asyncio.sleep(0.01)
    return value


async def until_nodes(backend: LocalBackend, *states: NodeState) -> list[Node]:
    patience = Patience(PATIENCE_S)
    while True:
        nodes = await backend.nodes()
        if sorted(node.state for node in nodes) == sorted(states):
            return nodes
        assert patience.lasts(), nodes
        await asyncio.sleep(0.01)


def listed(folder) -> list[str]:
    return [node["id"] for node in json.loads(folder.nodes_file.read_text())["nodes"]]


def pid(folder, name: str) -> int:
    return folder.record(name).identity.pid


async def test_nodes_start_are_listed_and_end(folder, make):
    async with make() as backend:
        assert listed(folder) == []
        await backend.start("default", 3)
        nodes = await until_nodes(backend, *[NodeState.READY] * 3)
        await until(lambda: len(listed(folder)) == 3)
        entry = json.loads(folder.nodes_file.read_text())["nodes"][0]
        assert entry["address"] == nodes[0].address
        assert (entry["pool"], entry["capabilities"]) == ("default", ["gpu"])
        await backend.stop([nodes[1].id])
        assert nodes[1].id not in listed(folder)  # before it is told
        await until_nodes(backend, NodeState.READY, NodeState.READY)
        await backend.stop_all()
        assert await backend.nodes() == []
        assert folder.names() == []
    assert backend.starts == {"default": 3}
    assert not backend.crashes.total()


async def test_a_node_that_got_a_scan_meanwhile_is_not_stopped(folder, make):
    async with make() as backend:
        await backend.start("default", 1)
        (node,) = await until_nodes(backend, NodeState.READY)
        (folder.path / f"{node.id}.busy").touch()
        before = pid(folder, node.id)
        await backend.stop([node.id])
        await until_nodes(backend, NodeState.DRAINING)
        await until_nodes(backend, NodeState.READY)
        assert listed(folder) == [node.id]
        assert not folder.leaving(node.id)
        assert pid(folder, node.id) == before


async def test_a_drained_node_finishes_its_scan_first(folder, make):
    async with make() as backend:
        await backend.start("default", 1)
        (node,) = await until_nodes(backend, NodeState.READY)
        busy = folder.path / f"{node.id}.busy"
        busy.touch()
        folder.mark_leaving(node.id)  # as `elastron drain` does
        await until(lambda: listed(folder) == [])
        await asyncio.sleep(1.5 * member_module.WITHDRAW_S)
        assert [each.state for each in await backend.nodes()] == [NodeState.DRAINING]
        busy.unlink()
        await until_nodes(backend)
    assert not backend.crashes.total()


async def test_a_crashed_node_is_forgotten_and_counted(folder, make):
    async with make() as backend:
        await backend.start("default", 1)
        (node,) = await until_nodes(backend, NodeState.READY)
        folder.record(node.id).identity.signal(signal.SIGKILL)
        await until_nodes(backend)
        assert backend.crashes == {"default": 1}
        assert listed(folder) == []
        await backend.start("default", 1)  # the first time at once
        (again,) = await until_nodes(backend, NodeState.READY)
        assert again.id != node.id
        assert node.id in [path.stem for path in (folder.path / "logs").glob("*.log")]


@pytest.mark.parametrize("how", ["crashes", "never begins"])
async def test_nodes_that_cannot_start_are_tried_ever_more_rarely(make, monkeypatch, how):
    monkeypatch.setattr(backoff_module, "PAUSES_S", (0.0, 0.1, 600.0))
    async with make(default=NodeTemplate({"how": how})) as backend:
        patience = Patience(PATIENCE_S)
        while backend.crashes["default"] < 3:
            if not await backend.nodes():
                await backend.start("default", 1)
            assert patience.lasts()
            await asyncio.sleep(0.01)
        started = backend.starts["default"]
        for _ in range(20):
            await backend.start("default", 1)
            await asyncio.sleep(0.01)
        assert backend.starts["default"] == started  # the pause after the third is long


async def test_one_that_hangs_is_killed(folder, make, monkeypatch):
    monkeypatch.setattr(backend_module, "HEALTH_S", 0.05)
    monkeypatch.setattr(member_module, "MISSES_MAX", 2)
    async with make() as backend:
        well = True
        monkeypatch.setattr(backend._health, "well", lambda _admin: asyncio.sleep(0, well))
        await backend.start("default", 1)
        (node,) = await until_nodes(backend, NodeState.READY)
        well = False
        folder.record(node.id).identity.signal(signal.SIGSTOP)
        await until_nodes(backend)
    assert backend.crashes == {"default": 1}


async def test_another_backend_adopts_what_runs(folder, make):
    async with make() as first:
        await first.start("default", 3)
        nodes = await until_nodes(first, *[NodeState.READY] * 3)
        names = [node.id for node in nodes]
        pids = [pid(folder, name) for name in names]
    # The first one is gone without a word; meanwhile one node dies, and one is told to go.
    folder.record(names[0]).identity.signal(signal.SIGKILL)
    await until(lambda: not folder.record(names[0]).alive)
    folder.mark_leaving(names[1])
    async with make() as second:
        assert {node.id for node in await second.nodes()} <= set(names[1:])
        assert listed(folder) == [names[2]]
        (left,) = await until_nodes(second, NodeState.READY)
        assert left.id == names[2]
        assert pid(folder, left.id) == pids[2]
        await second.start("default", 1)
        nodes = await until_nodes(second, NodeState.READY, NodeState.READY)
        assert not {node.id for node in nodes} - {names[2]} & set(names)


async def test_nodes_with_other_settings_are_replaced(folder, make):
    async with make() as first:
        await first.start("default", 1)
        (node,) = await until_nodes(first, NodeState.READY)
    async with make(default=NodeTemplate({"capacity": 2})) as second:
        assert [each.state for each in await second.nodes()] == [NodeState.DRAINING]
        assert listed(folder) == []
        await second.start("default", 1)
        (other,) = await until_nodes(second, NodeState.READY)
        assert other.id != node.id
        assert other.capacity == 2


async def test_an_order_that_nobody_took_is_withdrawn(folder, make):
    folder.write_order(Order("node-7", Role.NODE, pool="default", digest=TEMPLATE.digest))
    async with make() as backend:
        assert await backend.nodes() == []
        assert folder.names() == []


async def test_one_that_begins_after_its_order_was_withdrawn_goes_again(folder, launcher):
    folder.write_order(Order("node-7", Role.NODE))
    launcher.launch("node-7")
    folder.withdraw_order("node-7")
    await until(lambda: launcher.lost("node-7"))
    assert folder.names() == []


async def test_cores_are_shared_out_when_nodes_come_and_go(make, monkeypatch):
    pinned: dict[int, set[int]] = {}
    monkeypatch.setattr(backend_module, "available_cores", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(backend_module, "pin", lambda pid, cores: pinned.update({pid: set(cores)}))
    async with make() as backend:
        await backend.start("default", 1)
        await until_nodes(backend, NodeState.READY)
        assert pinned == {}  # it has all of them anyway
        await backend.start("default", 1)
        nodes = await until_nodes(backend, NodeState.READY, NodeState.READY)
        await until(lambda: len(pinned) == 2)
        assert sorted(map(sorted, pinned.values())) == [[0, 1], [2, 3]]
        await backend.stop([nodes[0].id])
        await until_nodes(backend, NodeState.READY)
        await until(lambda: {0, 1, 2, 3} in pinned.values())
