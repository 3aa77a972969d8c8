"""The simulator: how fast it is, and what our default policy does against the original's.

Three comparisons on each trace: ours; the original as its chart has it (20 pods at most); and the
original with the largest maximum at which it costs no more node hours than ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from elastron.fleet.gadgetron_azure import simulate_gadgetron_azure
from elastron.fleet.outcome import Result
from elastron.fleet.report import Summary, summarise
from elastron.fleet.settings import FleetSettings
from elastron.fleet.simulation import simulate
from elastron.fleet.traces import Trace, load_trace, shipped_traces


def main() -> None:
    """Print a table for each trace."""
    console = Console(width=110)
    for name, path in shipped_traces().items():
        trace = load_trace(path)
        table = Table(title=f"{name}: {len(trace.scans)} scans", box=None, title_justify="left")
        for column in ("policy", "nodes at most", "node hours", "wait mean", "p95", "p99", "max"):
            table.add_column(column, justify="left" if column == "policy" else "right")
        table.add_column("lost", justify="right")
        table.add_column("took", justify="right")
        fleet = FleetSettings()
        ours, seconds = _timed(lambda t=trace, f=fleet: simulate(t, f), fleet)
        _add(table, "elastron", fleet, ours, seconds)
        theirs, seconds = _timed(lambda t=trace, f=fleet: simulate_gadgetron_azure(t, f), fleet)
        _add(table, "gadgetron-azure", fleet, theirs, seconds)
        cheap = _as_cheap(trace, ours)
        if cheap is not None:
            settings, summary, seconds = cheap
            _add(table, "gadgetron-azure, at no more node hours", settings, summary, seconds)
        console.print(table)
        console.print()


def _timed(run: Callable[[], Result], fleet: FleetSettings) -> tuple[Summary, float]:
    begin = time.perf_counter()
    result = run()
    return summarise(result, fleet), time.perf_counter() - begin


def _as_cheap(trace: Trace, ours: Summary) -> tuple[FleetSettings, Summary, float] | None:
    """The original with as many pods as it may have without costing more than ours."""
    for most in range(19, 0, -1):
        fleet = FleetSettings.model_validate({"pools": {"default": {"max": most}}})
        summary, seconds = _timed(lambda f=fleet: simulate_gadgetron_azure(trace, f), fleet)
        if summary.total.node_hours <= ours.total.node_hours:
            return fleet, summary, seconds
    return None


def _add(table: Table, policy: str, fleet: FleetSettings, summary: Summary, seconds: float) -> None:
    total = summary.total
    waits = (total.wait_s.mean, total.wait_s.p95, total.wait_s.p99, total.wait_s.max)
    table.add_row(
        policy,
        f"{summary.nodes_max} of {fleet.pools['default'].max}",
        f"{total.node_hours:.0f}",
        *(f"{wait:.2f} s" if wait < 10 else f"{wait:.0f} s" for wait in waits),
        str(total.lost),
        f"{seconds:.1f} s",
    )


if __name__ == "__main__":
    main()
