"""Two gateways before the same nodes, all real: no scan is refused, and no node does too much."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from elastron.client import Client, Result
from elastron.gateway import Gateway, GatewaySettings
from tests.node.harness import HEADER, NodeProcess, scan, stream_config

from .harness import PATIENCE
from .stand_ins import QUICK, until

SCANS = 12


async def test_a_full_nodes_refusal_sends_the_scan_back_to_its_place(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    nodes = await asyncio.gather(
        *(asyncio.to_thread(NodeProcess, folder, capacity=1) for folder in folders)
    )
    listed = [f"127.0.0.1:{node.port}/{node.admin.rpartition(':')[2]}" for node in nodes]
    settings = GatewaySettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "admin": None,
            # Questions so rare that only refusals tell one gateway of the other.
            "registry": QUICK | {"nodes": listed, "poll_interval_s": 30},
        }
    )
    try:
        async with Gateway(settings) as first, Gateway(settings) as second:
            gateways = (first, second)
            # Threads of their own: the loop's are few, and the gateways use them.
            with ThreadPoolExecutor(SCANS) as threads:
                results = await asyncio.gather(
                    *(send(gateways[number % 2], threads) for number in range(SCANS))
                )
            for gateway in gateways:
                await until(lambda g=gateway: not g.sessions, "no session left")
                assert gateway.placer.queue() == []
                assert all(each["placed"] == 0 for each in gateway.registry.describe())
        assert all("readouts 32" in result.texts[0] for result in results)
        assert await until(lambda: sum(ran(nodes)) >= SCANS, "all sessions' ends")
        assert sum(ran(nodes)) == SCANS
        assert min(ran(nodes)) >= SCANS // 4
    finally:
        for node in nodes:
            with contextlib.suppress(ProcessLookupError):
                await asyncio.to_thread(node.stop)


def ran(nodes: list[NodeProcess]) -> list[int]:
    """Scans that each node has run."""
    return [len(node.events('"session ended"')) for node in nodes]


def send(gateway: Gateway, threads: ThreadPoolExecutor) -> asyncio.Future[Result]:
    assert gateway.address is not None
    client = Client("127.0.0.1", gateway.address.port, timeout=60)
    # So slow that a busy machine's favour for a node is not what decides how much it runs.
    config = stream_config("SlowGadget:seconds=1").xml
    loop = asyncio.get_running_loop()
    return loop.run_in_executor(threads, client.send, (HEADER, [scan()]), config)


async def test_scans_go_to_the_pool_of_their_config(tmp_path: Path) -> None:
    pools = ("default", "special")
    for name in pools:
        (tmp_path / name).mkdir()
    nodes = await asyncio.gather(
        *(asyncio.to_thread(NodeProcess, tmp_path / name, capacity=2) for name in pools)
    )
    settings = GatewaySettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "admin": None,
            "registry": {
                "nodes": [
                    f"127.0.0.1:{node.port}/{node.admin.rpartition(':')[2]}@{pool}"
                    for node, pool in zip(nodes, pools, strict=True)
                ],
                **PATIENCE,
            },
            "pools": [
                {"configs": ["default_opt*.xml"], "pool": "special"},
                {"gadgets": ["Slow*"], "pool": "special"},
            ],
        }
    )
    try:
        async with Gateway(settings) as gateway:
            client = Client("127.0.0.1", gateway.address.port, timeout=60)
            slow = stream_config("SlowGadget").xml
            for config in ("default_optimized.xml", slow, "default.xml"):
                await asyncio.to_thread(client.send, (HEADER, [scan()]), config)
        await until(lambda: ran(nodes) == [1, 2], "all sessions' ends")
        configs = [[event["config"] for event in node.events('"session ended"')] for node in nodes]
        assert configs == [["default.xml"], ["default_optimized.xml", "<inline>"]]
    finally:
        for node in nodes:
            await asyncio.to_thread(node.stop)
