"""What `elastron simulate` does."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from elastron.cli.console import as_seconds, print_json, stdout
from elastron.errors import ConfigError
from elastron.fleet.gadgetron_azure import NAME as GADGETRON_AZURE
from elastron.fleet.gadgetron_azure import simulate_gadgetron_azure
from elastron.fleet.outcome import Result
from elastron.fleet.report import Summary, Waits, summarise
from elastron.fleet.settings import FleetSettings, load_fleet
from elastron.fleet.simulation import Assumptions, simulate
from elastron.fleet.traces import Trace, load_trace, shipped_traces
from elastron.fleet.traces.generator import trace_text


@dataclass(frozen=True, slots=True)
class Changes:
    """What the command line says about the simulated world, in place of `fleet.yaml`.

    Attributes:
        start_delay_s: of all pools; None: as in the file.
        stop_delay_s: from telling an idle node to go to its end.
        poll_s: between decisions; None: as in the file.
        seed: of what is random.
    """

    start_delay_s: float | None
    stop_delay_s: float
    poll_s: float | None
    seed: int

    def applied(self, fleet: FleetSettings) -> FleetSettings:
        """The fleet with these changes."""
        if self.poll_s is not None:
            fleet = fleet.model_copy(update={"poll_s": self.poll_s})
        if self.start_delay_s is not None:
            later = {"start_delay_s": self.start_delay_s}
            pools = {name: pool.model_copy(update=later) for name, pool in fleet.pools.items()}
            fleet = fleet.model_copy(update={"pools": pools})
        return fleet


def run_simulation(
    trace_name: str,
    fleet_file: Path | None,
    against: list[str],
    changes: Changes,
    *,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Simulate one policy and those to compare with, and show the figures.

    Raises:
        ElastronError: a file that cannot be read or understood.
    """
    trace = _find_trace(trace_name)
    fleet = changes.applied(load_fleet(fleet_file) if fleet_file else FleetSettings())
    assumptions = Assumptions(stop_delay_s=changes.stop_delay_s)
    name = fleet_file.stem if fleet_file else "elastron"
    results: list[tuple[Result, Summary]] = []

    def keep(result: Result, prices: FleetSettings) -> None:
        results.append((result, summarise(result, prices)))

    keep(simulate(trace, fleet, policy=name, assumptions=assumptions), fleet)
    for other in against:
        if other == GADGETRON_AZURE:
            keep(simulate_gadgetron_azure(trace, fleet, seed=changes.seed), fleet)
        else:
            its = changes.applied(load_fleet(Path(other)))
            called = Path(other).stem
            called = other if called == name else called
            keep(simulate(trace, its, policy=called, assumptions=assumptions), its)
    if plot is not None:
        from elastron.cli.simulation_plot import draw  # noqa: PLC0415  - needs matplotlib

        draw([result for result, _ in results], plot)
    summaries = [summary for _, summary in results]
    if as_json:
        print_json({"trace": _described(trace), "policies": [s.as_json() for s in summaries]})
    else:
        _show(trace, summaries)


def write_trace(name: str, seed: int, output: Path | None) -> None:
    """Make a trace and write it to a file or to stdout.

    Raises:
        ConfigError: there is no such trace.
    """
    text = trace_text(name, seed)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def _find_trace(name: str) -> Trace:
    path = Path(name)
    shipped = shipped_traces()
    if not path.exists() and name in shipped:
        path = shipped[name]
    elif not path.exists() and path.suffix != ".csv":
        raise ConfigError(f"There is no trace {name!r}; give a CSV file, or {', '.join(shipped)}.")
    return load_trace(path)


def _described(trace: Trace) -> dict[str, Any]:
    return {
        "name": trace.name,
        "scans": len(trace.scans),
        "start": trace.start.isoformat(),
        "duration_s": trace.duration_s,
    }


def _show(trace: Trace, summaries: list[Summary]) -> None:
    begins = trace.start.strftime("%A, %d %B %Y")
    stdout().print(f"{trace.name}: {len(trace.scans)} scans from {begins}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for summary in summaries:
        table.add_column(summary.policy, justify="right")

    def row(label: str, *values: str) -> None:
        table.add_row(label, *values)

    def waits(label: str, chosen: list[Waits]) -> None:
        row(f"{label} mean", *(as_seconds(waits.mean) for waits in chosen))
        row("  p95", *(as_seconds(waits.p95) for waits in chosen))
        row("  p99", *(as_seconds(waits.p99) for waits in chosen))
        row("  longest", *(as_seconds(waits.max) for waits in chosen))

    totals = [summary.total for summary in summaries]
    waits("wait for images", [total.wait_s for total in totals])
    waits("in the queue", [total.queue_s for total in totals])
    row("scans lost", *(str(total.lost) for total in totals))
    row("scans refused", *(str(total.refused) for total in totals))
    row("node hours", *(f"{total.node_hours:.1f}" for total in totals))
    if any(total.cost for total in totals):
        row("cost", *(f"{total.cost:.2f}" for total in totals))
    row("nodes at most", *(str(summary.nodes_max) for summary in summaries))
    row("nodes started", *(str(summary.node_starts) for summary in summaries))
    stdout().print(table)
