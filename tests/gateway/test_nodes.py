from __future__ import annotations

import asyncio
import json
import select
import signal
from pathlib import Path
from typing import Any

import pytest

from elastron.fleet.model import NodeState
from elastron.gateway.events import Events
from elastron.gateway.nodes import Registry, RegistrySettings
from elastron.wire.faults import Fault

from ..node.harness import NodeProcess, Peer
from .stand_ins import QUICK, registry, stand_in, until


def states(nodes: Registry) -> dict[str, str]:
    return {node.address: node.state.value for node in nodes.nodes()}


def state(nodes: Registry) -> NodeState | None:
    return next((node.state for node in nodes.nodes()), None)


def is_in(nodes: Registry, wanted: NodeState) -> Any:
    return lambda: state(nodes) is wanted


async def test_nodes_are_known_after_the_start() -> None:
    async with (
        stand_in(capacity=3) as a,
        stand_in(capacity=2, running=2) as b,
        registry(a.spec, f"{b.spec}@gpu") as nodes,
    ):
        first, second = sorted(nodes.nodes(), key=lambda node: -node.capacity)
        assert (first.id, first.address) == (a.address, a.address)
        assert (first.state, first.capacity, first.pool) == (NodeState.READY, 3, "default")
        assert (second.state, second.running, second.pool) == (NodeState.BUSY, 2, "gpu")


async def test_the_start_does_not_wait_for_ever() -> None:
    async with stand_in() as node:
        node.status = None
        async with registry(node.spec, start_wait_s=0.05) as nodes:
            assert state(nodes) is NodeState.STARTING


async def test_capabilities_and_memory() -> None:
    told = {"capabilities": ["gpu"], "memory_bytes": 1000}
    async with stand_in(**told) as node, registry(node.spec) as nodes:
        (seen,) = nodes.describe()
        assert (seen["capabilities"], seen["memory_bytes"]) == (["gpu"], 1000)


async def test_a_node_that_drains() -> None:
    async with stand_in() as node, registry(node.spec) as nodes:
        node.status["draining"] = True
        await until(is_in(nodes, NodeState.DRAINING), "draining")
        node.status["draining"] = False
        await until(is_in(nodes, NodeState.READY), "ready")


async def test_a_node_that_dies_and_comes_back() -> None:
    async with stand_in() as node, registry(node.spec) as nodes:
        lost = nodes.reserve(node.address, 0)
        await node.stop()
        await until(is_in(nodes, NodeState.DEAD), "dead")
        assert "nobody answers" in await lost
        assert nodes.describe()[0]["error"]
        nodes.release(node.address, lost)
        await node.start()
        await until(is_in(nodes, NodeState.READY), "ready")
        assert nodes.describe()[0]["error"] is None


async def test_a_node_that_hangs_is_noticed() -> None:
    async with stand_in() as node, registry(node.spec, poll_timeout_s=0.2) as nodes:
        await until(is_in(nodes, NodeState.READY), "ready")
        lost = nodes.reserve(node.address, 0)
        node.status = None
        assert "no answer" in await asyncio.wait_for(lost, 60)
        assert state(nodes) is NodeState.DEAD


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"{", b'{"capacity": 0, "running": 0}', b"x" * 300_000, b"\xff"]
)
async def test_nonsense_is_no_status(answer: bytes) -> None:
    async with stand_in() as node:
        node.raw = answer
        async with registry(node.spec) as nodes:
            assert state(nodes) is NodeState.STARTING
            await until(lambda: nodes.describe()[0]["error"], "an error")
            node.raw = None
            await until(is_in(nodes, NodeState.READY), "ready")


async def test_an_admin_server_that_fails() -> None:
    async with stand_in() as node, registry(node.spec) as nodes:
        node.code = 500
        await until(is_in(nodes, NodeState.DEAD), "dead")
        assert "500" in nodes.describe()[0]["error"]


async def test_a_node_without_an_admin_server_is_asked_over_its_port() -> None:
    async with stand_in() as node:
        node.answers["elastron::status"] = json.dumps({"capacity": 7, "running": 1})
        async with registry(node.address) as nodes:
            (seen,) = nodes.nodes()
            assert (seen.state, seen.capacity, seen.running) == (NodeState.READY, 7, 1)
            node.refusal = Fault.NODE_FULL
            await until(is_in(nodes, NodeState.BUSY), "busy")
            node.refusal = Fault.NODE_DRAINING
            await until(is_in(nodes, NodeState.DRAINING), "draining")
            node.refusal = None
            await until(is_in(nodes, NodeState.READY), "ready")


async def test_an_admin_server_without_status_is_as_good_as_none() -> None:
    async with stand_in() as node:
        node.code = 404
        node.answers["elastron::status"] = json.dumps({"capacity": 7, "running": 1})
        async with registry(node.spec) as nodes:
            assert nodes.nodes()[0].capacity == 7


async def test_an_upstream_gadgetron() -> None:
    async with stand_in() as node:
        node.answers["gadgetron::info"] = (
            "Gadgetron Version Info\n  -- Version            : 4.7.2\n"
            "  -- System Memory size : 3976 MB\n"
        )
        async with registry(node.address, capacity_assumed=2) as nodes:
            (seen,) = nodes.nodes()
            assert (seen.state, seen.capacity, seen.running) == (NodeState.READY, 2, 0)
            assert seen.memory_bytes == 3976 << 20


async def test_something_else_on_the_port() -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 100)
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with registry(f"127.0.0.1:{port}") as nodes:
        assert state(nodes) is NodeState.STARTING
        assert nodes.describe()[0]["error"]
    server.close()


async def test_passive_failures() -> None:
    async with stand_in() as node, registry(node.spec, back_off_s=30, back_off_s_max=30) as nodes:
        asked = node.asked
        nodes.failed(node.address, "connection refused", unreachable=True)
        assert state(nodes) is NodeState.DEAD
        await until(lambda: node.asked > asked + 2, "more questions")
        assert state(nodes) is NodeState.DEAD  # it answers, but scans do not get through
        nodes.succeeded(node.address)
        assert state(nodes) is NodeState.READY
        nodes.failed(node.address, "worker died")
        assert state(nodes) is NodeState.READY
        assert nodes.nodes()[0].avoid_until > nodes.clock()
        assert nodes.describe()[0]["error"] == "worker died"


async def test_a_node_full_of_another_gateways_scans() -> None:
    async with stand_in(capacity=1) as node, registry(node.spec) as nodes:
        place = nodes.reserve(node.address, 0)
        node.status["running"] = 1
        nodes.full(node.address)
        nodes.release(node.address, place)
        assert state(nodes) is NodeState.BUSY
        asked = node.asked
        await until(lambda: node.asked > asked + 1, "another answer")
        assert state(nodes) is NodeState.BUSY
        node.status["running"] = 0
        await until(is_in(nodes, NodeState.READY), "ready")


async def test_unknown_nodes_are_no_error() -> None:
    async with registry() as nodes:
        nodes.failed("gone", "why")
        nodes.full("gone")
        nodes.draining("gone")
        nodes.succeeded("gone")
        assert nodes.nodes() == []


async def test_a_removed_node_drains_and_then_leaves(tmp_path: Path) -> None:
    async with stand_in() as a, stand_in() as b:
        file = tmp_path / "nodes.json"
        write_nodes(file, a=a, b=b)
        async with registry(f"file:{file}") as nodes:
            assert states(nodes) == {a.address: "ready", b.address: "ready"}
            place = nodes.reserve("a", 0)
            write_nodes(file)
            await until(lambda: states(nodes) == {a.address: "draining"}, "b gone, a draining")
            write_nodes(file, a=a)
            await until(lambda: states(nodes) == {a.address: "busy"}, "a back")
            write_nodes(file)
            await until(lambda: states(nodes) == {a.address: "draining"}, "a draining")
            nodes.release("a", place)
            assert nodes.nodes() == []


def write_nodes(file: Path, **nodes: Any) -> None:
    entries = [
        {"id": name, "address": node.address, "admin": f"127.0.0.1:{node.admin_port}"}
        for name, node in nodes.items()
    ]
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"nodes": entries}))
    new.replace(file)


async def test_changes_are_told() -> None:
    events, changes = Events(), []
    async with stand_in() as node:
        made = Registry(RegistrySettings(**QUICK | {"nodes": (node.spec,)}), events)
        made.on_change(lambda: changes.append(None))
        with events.subscribe() as told:
            await made.start()
            place = made.reserve(node.address, 5)
            made.release(node.address, place)
            seen = [(await anext(told)).data for _ in range(4)]
        assert [each["state"] for each in seen] == ["starting", "ready", "busy", "ready"]
        assert [each["placed"] for each in seen] == [0, 0, 1, 0]
        assert len(changes) >= 4
        await made.stop()


@pytest.mark.parametrize(
    "address",
    ["no-port", "host:99999", "host:x", ":", "bad host:1", "a" * 250 + ":1", "[::1:1", "h/../:1"],
)
async def test_addresses_that_are_none(tmp_path: Path, address: str) -> None:
    async with stand_in() as good:
        entries = [
            {"id": "no scans", "address": address},
            {"id": "no admin", "address": good.address, "admin": address},
            {"id": "good", "address": good.address, "admin": f"127.0.0.1:{good.admin_port}"},
        ]
        file = tmp_path / "nodes.json"
        file.write_text(json.dumps({"nodes": entries}))
        async with registry(f"file:{file}") as nodes:
            await until(lambda: all(each["error"] for each in nodes.describe()[:2]), "errors")
            assert [node.state.value for node in nodes.nodes()] == ["starting", "starting", "ready"]


async def test_too_many_nodes_are_left_out() -> None:
    specs = [f"127.0.0.1:{port}" for port in range(1, 9)]
    async with registry(*specs, nodes_max=3, start_wait_s=0) as nodes:
        await until(lambda: len(nodes.nodes()) == 3, "three nodes")


async def test_the_life_of_a_real_node(tmp_path: Path) -> None:
    process = await asyncio.to_thread(
        NodeProcess, tmp_path, capacity=2, capabilities=frozenset({"gpu"}), drain_timeout_s=1
    )
    try:
        spec = f"127.0.0.1:{process.port}/{process.admin.rpartition(':')[2]}"
        async with registry(spec, poll_timeout_s=1.5) as nodes:
            await until(is_in(nodes, NodeState.READY), "ready")
            (node,) = nodes.nodes()
            assert (node.capacity, node.capabilities) == (2, {"gpu"})
            assert node.memory_bytes > 2**26
            process.process.send_signal(signal.SIGSTOP)
            place = nodes.reserve(node.id, 0)
            assert await asyncio.wait_for(place, 60)
            assert state(nodes) is NodeState.DEAD
            process.process.send_signal(signal.SIGCONT)
            await until(is_in(nodes, NodeState.READY), "ready again")
            nodes.release(node.id, place)
            process.process.kill()
            await until(is_in(nodes, NodeState.DEAD), "dead")
    finally:
        process.process.kill()
        process.process.wait()


def hears(peer: Peer) -> bool:
    """Whether the node has said something."""
    return bool(select.select([peer.socket], [], [], 0)[0])


async def test_a_real_node_without_an_admin_server(tmp_path: Path) -> None:
    process = await asyncio.to_thread(NodeProcess, tmp_path, capacity=1)
    try:
        async with registry(f"127.0.0.1:{process.port}", query_interval_s=0.2) as nodes:
            asked = len(process.events("session begins"))
            await until(is_in(nodes, NodeState.READY), "ready")
            await until(lambda: len(process.events("session begins")) > asked + 1, "questions")
            await until(lambda: nodes.nodes()[0].running == 0, "none running: questions are none")
            for _ in range(50):
                with process.connect() as peer:
                    peer.send_bytes(b"\x01")  # takes the only place, unless a question has it
                    await until(
                        lambda: state(nodes) is NodeState.BUSY or hears(peer), "busy, or a refusal"
                    )
                    if state(nodes) is NodeState.BUSY:
                        break
            else:
                pytest.fail("it never became busy")
            await until(is_in(nodes, NodeState.READY), "ready")
    finally:
        await asyncio.to_thread(process.stop)
