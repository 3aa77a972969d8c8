"""`elastron simulate`: what a fleet would have done with a trace of scans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    trace: Annotated[
        str | None,
        typer.Argument(
            help="CSV file of scans, or one that comes along: clinic-day, hospital-week, "
            "research-burst.",
            show_default=False,
        ),
    ] = None,
    *,
    fleet: Annotated[
        Path | None,
        typer.Option("--fleet", "-f", help="fleet.yaml [its defaults].", dir_okay=False),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare with another fleet.yaml, or with 'gadgetron-azure'. Repeatable."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw demand, nodes and waits into this PNG, SVG or PDF.", dir_okay=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    start_delay: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds from asking for a node to its first scan [the file's]."),
    ] = None,
    stop_delay: Annotated[
        float, typer.Option(min=0, help="Seconds from telling an idle node to go to its end.")
    ] = 1.0,
    poll: Annotated[
        float | None, typer.Option(min=0.01, help="Seconds between decisions [the file's].")
    ] = None,
    make_trace: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Make one of the traces that come along, as CSV."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is random.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for --make-trace [stdout].", dir_okay=False),
    ] = None,
) -> None:
    """See how long scans would wait, and what the nodes would cost, under a policy.

    The code that scales and places in a real fleet decides here, too; only scans and nodes are
    simulated. A week takes seconds.
    """
    from elastron.cli.simulating import (  # noqa: PLC0415  - see elastron.cli
        Changes,
        run_simulation,
        write_trace,
    )

    if make_trace is not None:
        if trace is not None:
            raise typer.BadParameter("give a trace to run, or --make-trace, not both")
        write_trace(make_trace, seed, output)
        return
    if trace is None:
        raise typer.BadParameter("a trace is missing: a CSV file, or a name as hospital-week")
    changes = Changes(start_delay_s=start_delay, stop_delay_s=stop_delay, poll_s=poll, seed=seed)
    run_simulation(trace, fleet, against or [], changes, plot=plot, as_json=json)
