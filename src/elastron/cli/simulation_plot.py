"""The picture of a simulation: demand, nodes and waits over the time of the trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elastron.errors import ConfigError
from elastron.fleet.outcome import Fate, Result

#: Colour-blind safe (Okabe and Ito), in the order of the policies.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
_DEMAND = "#808080"
_LOST = "#D55E00"

#: Points on the time axis: finer than the picture's own is only noise.
_BINS_MAX = 700
_BIN_S_MIN = 15.0


def draw(results: list[Result], path: Path) -> None:
    """Draw simulations of one trace; the file's ending chooses PNG, SVG or PDF.

    Raises:
        ConfigError: matplotlib is not installed, or the ending is not known.
    """
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"{path}: a plot ends in .png, .svg or .pdf.")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  - an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise ConfigError("A plot needs matplotlib: pip install 'elastron[plot]'.") from missing
    figure: Any = Figure(figsize=(12, 3.2 * len(results) + 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        len(results) + 1, 1, sharex=True, height_ratios=[*(1.0 for _ in results), 0.9]
    )
    top = 0
    for result, axes, colour in zip(results, panels[:-1], _colours(results), strict=True):
        top = max(top, _draw_nodes(axes, result, colour))
    for axes in panels[:-1]:
        axes.set_ylim(0, top * 1.08)
    _draw_waits(panels[-1], results)
    _draw_clock(panels[-1], results[0])
    trace = results[0].trace
    figure.suptitle(f"{trace.name}: {len(trace.scans)} scans", fontsize=13, fontweight="bold")
    figure.savefig(path, dpi=130)


def _colours(results: list[Result]) -> list[str]:
    return [_COLOURS[number % len(_COLOURS)] for number in range(len(results))]


def _draw_nodes(axes: Any, result: Result, colour: str) -> int:
    """Demand as an area, nodes as lines; returns the largest value."""
    edges = _edges(result)
    days = _days(result, edges)
    nodes = _means(result, edges, [sample.nodes for sample in result.samples])
    running = _means(result, edges, [sample.running for sample in result.samples])
    queued = _means(result, edges, [sample.queued for sample in result.samples])
    axes.stairs(running, days, fill=True, color=_DEMAND, alpha=0.45, label="running scans")
    if queued.max(initial=0) > 0:
        axes.stairs(
            running + queued, days, baseline=running, fill=True, color=_LOST, label="waiting scans"
        )
    axes.stairs(nodes, days, baseline=None, color=colour, linewidth=1.6, label="nodes paid for")
    hours = sum(result.node_seconds.values()) / 3600
    lost = sum(outcome.fate is not Fate.FINISHED for outcome in result.outcomes)
    axes.set_title(
        f"{result.policy}: {hours:.0f} node hours, {lost} scans lost or refused",
        loc="left",
        fontsize=11,
        color=colour,
        fontweight="bold",
    )
    axes.set_ylabel("nodes, scans")
    _tidy(axes)
    return int(np.ceil(max(nodes.max(initial=1), (running + queued).max(initial=1))))


def _draw_waits(axes: Any, results: list[Result]) -> None:
    """A dot for each scan that waited, a cross for each that got no images."""
    longest = 1.0
    for result, colour in zip(results, _colours(results), strict=True):
        waited = [o for o in result.outcomes if o.fate is Fate.FINISHED and o.wait_s > 0.5]
        seconds = [outcome.wait_s for outcome in waited]
        arrivals = np.array([outcome.scan.arrival_s for outcome in waited], dtype=np.float64)
        longest = max([longest, *seconds])
        share = len(waited) / max(len(result.outcomes), 1)
        axes.plot(
            _days(result, arrivals),
            seconds,
            ".",
            color=colour,
            markersize=4,
            alpha=0.6,
            label=f"{result.policy}: {share:.1%} of the scans waited",
        )
    for number, (result, colour) in enumerate(zip(results, _colours(results), strict=True)):
        lost = [o.scan.arrival_s for o in result.outcomes if o.fate is not Fate.FINISHED]
        if lost:
            height = np.full(len(lost), longest * 3 * 1.6**number)
            axes.plot(
                _days(result, np.array(lost)),
                height,
                "x",
                color=colour,
                markersize=6,
                label=f"{result.policy}: {len(lost)} lost or refused",
            )
    axes.set_yscale("log")
    axes.set_ylim(0.5, longest * 8)
    axes.set_ylabel("wait for images (s)")
    axes.set_title("Waits above 0.5 s", loc="left", fontsize=11, fontweight="bold")
    _tidy(axes)


def _draw_clock(axes: Any, result: Result) -> None:
    from matplotlib import dates  # noqa: PLC0415  - an extra

    zone = result.trace.start.tzinfo
    locator = dates.AutoDateLocator(tz=zone, minticks=4, maxticks=14)
    axes.xaxis.set_major_locator(locator)
    week = result.end_s > 2.5 * 86400
    axes.xaxis.set_major_formatter(dates.DateFormatter("%a %d %b" if week else "%H:%M", tz=zone))
    low, high = _days(result, np.array([0.0, max(result.end_s, _BIN_S_MIN)]))
    axes.set_xlim(low, high)


def _tidy(axes: Any) -> None:
    # Beside the title, where it hides nothing.
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)


def _edges(result: Result) -> NDArray[np.float64]:
    end_s = max(result.end_s, _BIN_S_MIN)
    return np.linspace(0, end_s, int(min(_BINS_MAX, end_s / _BIN_S_MIN)) + 1)


def _means(result: Result, edges: NDArray[np.float64], values: list[int]) -> NDArray[np.float64]:
    """Means over time of a value that holds from one sample to the next."""
    at = np.array([sample.at_s for sample in result.samples], dtype=np.float64)
    held = np.array(values, dtype=np.float64)
    area = np.concatenate([[0.0], np.cumsum(held[:-1] * np.diff(at))])
    # The area under the steps, at any time, is linear between samples.
    ends = np.append(at, max(edges[-1], at[-1]) + 1.0)
    area = np.append(area, area[-1] + held[-1] * (ends[-1] - at[-1]))
    return np.diff(np.interp(edges, ends, area)) / np.diff(edges)


def _days(result: Result, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds of the trace as matplotlib's dates."""
    from matplotlib import dates  # noqa: PLC0415  - an extra

    begin = dates.date2num(result.trace.start)
    return begin + np.asarray(seconds) / 86400
