"""How nodes share the cores of a machine."""

from __future__ import annotations

from collections.abc import Sequence

#: One core for the chain, one to receive with.
_CORES_MIN = 2


def share_of_cores(index: int, nodes: int, cores: Sequence[int]) -> frozenset[int]:
    """The cores of node `index` of `nodes`.

    Neighbouring blocks of nearly the same size, which together are all cores. Where that would
    leave a node fewer than two, its block reaches into the next one: of many nodes most are idle,
    and the kernel then finds the free core.

    Args:
        index: from 0.
        nodes: how many share, at least one.
        cores: those of the machine, in an order in which neighbours are close to each other.
    """
    if not 0 <= index < nodes:
        raise ValueError(f"there is no node {index} of {nodes}")
    count = len(cores)
    begin = index * count // nodes
    end = (index + 1) * count // nodes
    size = min(count, max(end - begin, _CORES_MIN))
    return frozenset(cores[(begin + step) % count] for step in range(size))
