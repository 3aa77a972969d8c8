from __future__ import annotations

from dataclasses import replace

import pytest

from elastron.fleet.model import Demand, Node, NodeState

NODE = Node("a", "10.0.0.1:9002", state=NodeState.READY, capacity=3, running=1)


def test_free_places() -> None:
    assert NODE.free == 2
    assert replace(NODE, running=5).free == 0  # another gateway's scans, or a smaller capacity


@pytest.mark.parametrize("state", set(NodeState) - {NodeState.READY})
def test_only_a_ready_node_has_free_places(state: NodeState) -> None:
    assert replace(NODE, state=state).free == 0


def test_live_nodes_take_scans_now_or_later() -> None:
    live = {state for state in NodeState if replace(NODE, state=state).live}
    assert live == {NodeState.READY, NodeState.BUSY}


def test_free_memory() -> None:
    assert NODE.memory_free_bytes is None
    assert replace(NODE, memory_bytes=100, memory_used_bytes=30).memory_free_bytes == 70
    assert replace(NODE, memory_bytes=100, memory_used_bytes=130).memory_free_bytes == 0


def test_demand() -> None:
    assert Demand(running=2, queued=3).total == 5
