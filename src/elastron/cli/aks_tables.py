"""Tables of the commands for Azure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from elastron.cloud.azure.pools import PoolState
    from elastron.cloud.azure.status import Status

_SETTLED = "Succeeded"


def status_tables(status: Status) -> Iterator[Table | Text]:
    """How a cluster is: what it is, its pools, what belongs to it."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_row("cluster", status.name)
    facts.add_row("group", status.resource_group)
    facts.add_row("state", _state(status.state))
    for name, value in {
        "location": status.location,
        "power": status.power,
        "Kubernetes": status.kubernetes_version,
        "API": status.address,
    }.items():
        if value:
            facts.add_row(name, value)
    yield facts
    if status.pools:
        yield Text()
        yield pool_table(status.pools)
    if status.parts:
        yield Text()
        table = Table("resource", "state", "", box=None, pad_edge=False)
        for part in status.parts:
            table.add_row(part.what, _state(part.state), "" if part.ours else "not ours")
        yield table


def pool_table(pools: Sequence[PoolState]) -> Table:
    """Node pools."""
    table = Table(
        "pool", "size", "nodes", "min", "max", "Kubernetes", "state", "", box=None, pad_edge=False
    )
    for pool in pools:
        remarks = [pool.mode.lower(), "spot" if pool.spot else "", *pool.taints]
        table.add_row(
            pool.name,
            pool.vm_size,
            str(pool.nodes),
            "-" if pool.min is None else str(pool.min),
            "-" if pool.max is None else str(pool.max),
            pool.kubernetes_version,
            _state(pool.state),
            Text(" ".join(filter(None, remarks)), style="dim"),
        )
    return table


def _state(state: str) -> Text:
    if state == _SETTLED:
        return Text("fine", style="green")
    return Text(state, style="red" if state in ("Failed", "absent") else "yellow")
