"""Traces: which scans came when, for the simulator; those that come with Elastron lie here.

`trace` reads and writes them, `generator` makes those that come along.
"""

from __future__ import annotations

from pathlib import Path

from elastron.fleet.traces.trace import Scan, Trace, format_trace, load_trace, parse_trace

__all__ = ["Scan", "Trace", "format_trace", "load_trace", "parse_trace", "shipped_traces"]


def shipped_traces() -> dict[str, Path]:
    """The traces that come with Elastron, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.csv"))}
