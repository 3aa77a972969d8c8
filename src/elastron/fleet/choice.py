"""Which node gets a scan: pure, one pass over the nodes.

A node qualifies when it is in the scan's pool, has what the scan needs, is not excluded, has a
place, and has memory for the scan's estimate. Of those the best is, in this order:

1. one where no scan met a fault lately;
2. the least loaded: running / capacity;
3. the one with most free places (of two idle nodes the larger);
4. the one not used for longest, so that equal nodes take turns.

An estimate is rough, so it never shuts a scan out: one larger than every node's memory counts as
large as the largest node's, and so goes there when nothing else runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from elastron.fleet.model import Node, NodeState


@dataclass(frozen=True, slots=True)
class Need:
    """What a scan asks of a node.

    Attributes:
        pool: the node's.
        capabilities: all of which it must have.
        memory_bytes: estimate of what the scan will take; 0: not known.
        exclude: ids of nodes that must not get it, as long as there are others.
    """

    pool: str = "default"
    capabilities: frozenset[str] = frozenset()
    memory_bytes: int = 0
    exclude: frozenset[str] = frozenset()


def suits(need: Need, node: Node) -> bool:
    """Whether the node could run the scan if nothing else ran there."""
    return (
        node.pool == need.pool
        and (node.state is NodeState.READY or node.state is NodeState.BUSY)
        and need.capabilities <= node.capabilities
        and node.id not in need.exclude
    )


def attainable(need: Need, nodes: Iterable[Node]) -> Need:
    """The need, without its exclusions if only excluded nodes are left.

    A scan whose node failed is better tried again there, once the node is back, than not at all.
    """
    if not need.exclude or any(suits(need, node) for node in nodes):
        return need
    return replace(need, exclude=frozenset())


def memory_wanted(need: Need, nodes: Iterable[Node]) -> int:
    """The estimate, but at most the memory of the largest node that suits (bytes)."""
    if not need.memory_bytes:
        return 0
    largest = 0
    for node in nodes:
        if suits(need, node):
            if node.memory_bytes is None or node.memory_bytes >= need.memory_bytes:
                return need.memory_bytes
            largest = max(largest, node.memory_bytes)
    return largest


def choose(
    need: Need,
    nodes: Iterable[Node],
    *,
    now: float,
    memory_bytes: int,
    reserved: Collection[str] = (),
) -> Node | None:
    """The best node for a scan, or None when it must wait.

    Args:
        need: what the scan asks.
        nodes: candidates; those without a free place are passed over.
        now: on the clock of `Node.avoid_until`.
        memory_bytes: what must be free, from `memory_wanted`.
        reserved: ids of nodes kept for somebody else.
    """
    best: Node | None = None
    best_key: tuple[bool, float, int, int] | None = None
    for node in nodes:  # there may be a thousand, so what most fail at comes first
        running, capacity = node.running, node.capacity
        if running >= capacity or node.state is not NodeState.READY or not suits(need, node):
            continue
        known_bytes = node.memory_bytes
        if known_bytes is not None and known_bytes - node.memory_used_bytes < memory_bytes > 0:
            continue
        if node.id in reserved:
            continue
        key = (now < node.avoid_until, running / capacity, running - capacity, node.used)
        if best_key is None or key < best_key:
            best, best_key = node, key
    return best


def to_clear(
    need: Need, nodes: Iterable[Node], *, memory_bytes: int, reserved: Collection[str] = ()
) -> Node | None:
    """The node to keep free of others until the scan fits: the one nearest to it.

    Args:
        need: what the scan asks.
        nodes: all nodes.
        memory_bytes: what must be free, from `memory_wanted`.
        reserved: ids of nodes kept for somebody else.

    Returns:
        None when no node suits at all, or none has memory enough when empty.
    """
    suitable = [
        node
        for node in nodes
        if node.id not in reserved
        and suits(need, node)
        and (node.memory_bytes is None or node.memory_bytes >= memory_bytes)
    ]

    def nearness(node: Node) -> tuple[float, int]:
        free_bytes = node.memory_free_bytes
        return (float("inf") if free_bytes is None else free_bytes, -node.running)

    return max(suitable, key=nearness, default=None)
