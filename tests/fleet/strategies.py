"""Nodes and scans of any kind, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from elastron.fleet.choice import Need
from elastron.fleet.model import Node, NodeState

POOLS = ("default", "gpu")
NAMES = ("n0", "n1", "n2", "n3", "n4", "n5")


@st.composite
def nodes(draw: st.DrawFn, name: str = "n0") -> Node:
    """One node."""
    capacity = draw(st.integers(1, 4))
    memory = draw(st.none() | st.integers(0, 100))
    return Node(
        id=name,
        address=f"{name}:9002",
        pool=draw(st.sampled_from(POOLS)),
        state=draw(st.sampled_from([NodeState.READY] * 4 + list(NodeState))),
        capacity=capacity,
        running=draw(st.integers(0, capacity + 1)),
        capabilities=draw(st.frozensets(st.sampled_from(["gpu", "big"]))),
        memory_bytes=memory,
        memory_used_bytes=draw(st.integers(0, 100)),
        avoid_until=draw(st.sampled_from([0.0, 100.0])),
        used=draw(st.integers(0, 9)),
    )


@st.composite
def fleets(draw: st.DrawFn) -> list[Node]:
    """Some nodes of different names."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return [draw(nodes(name)) for name in names]


@st.composite
def needs(draw: st.DrawFn) -> Need:
    """What a scan asks."""
    return Need(
        pool=draw(st.sampled_from(POOLS)),
        capabilities=draw(st.frozensets(st.sampled_from(["gpu", "big"]), max_size=1)),
        memory_bytes=draw(st.just(0) | st.integers(0, 120)),
        exclude=draw(st.frozensets(st.sampled_from(NAMES), max_size=3)),
    )
