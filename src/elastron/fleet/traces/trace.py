"""A trace: a CSV file of scans.

    # start: 2026-03-02T00:00:00+01:00
    # duration_s: 86400
    arrival_s,scan_s,reconstruction_s,pool
    25210.0,184.0,12.5,default

`arrival_s` counts from `start` to the scanner's connection; `scan_s` is from there to the last
data; `reconstruction_s` from there to the last image on a node with nothing else to do. `pool` may
be left out. `start` matters to schedules, `duration_s` to node hours; both may be left out.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from elastron.errors import DataError

COLUMNS = ("arrival_s", "scan_s", "reconstruction_s", "pool")

#: A Monday; for traces that do not say when they start.
DEFAULT_START = datetime(2026, 3, 2, tzinfo=UTC)

SCANS_MAX = 5_000_000
_FILE_BYTES_MAX = 512 << 20
#: Ten years: longer is a mistake, such as milliseconds or times since 1970.
_SECONDS_MAX = 10 * 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan of a trace.

    Attributes:
        arrival_s: when the scanner connects, from the trace's start.
        scan_s: from there to its last data.
        reconstruction_s: from there to the last image, on a node with nothing else to do.
        pool: where it is reconstructed.
    """

    arrival_s: float
    scan_s: float
    reconstruction_s: float
    pool: str = "default"

    @property
    def undisturbed_s(self) -> float:
        """When its last image would come if a node were always there, from the trace's start."""
        return self.arrival_s + self.scan_s + self.reconstruction_s


@dataclass(frozen=True, slots=True)
class Trace:
    """Scans in the order in which they arrive.

    Attributes:
        name: for people.
        start: of the trace's clock.
        duration_s: nodes are paid for at least this long.
        scans: by `arrival_s`.
    """

    name: str
    start: datetime
    duration_s: float
    scans: tuple[Scan, ...]

    @property
    def pools(self) -> list[str]:
        """Pools that occur."""
        return sorted({scan.pool for scan in self.scans})


def load_trace(path: Path) -> Trace:
    """Read a trace.

    Raises:
        DataError: as `parse_trace`, and where the file cannot be read.
    """
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise DataError(f"{path} is too large for a trace ({_FILE_BYTES_MAX >> 20} MiB).")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return parse_trace(text, str(path), name=path.stem)


def parse_trace(text: str, source: str = "trace", *, name: str = "") -> Trace:
    """A trace from its text.

    Args:
        text: CSV with a header; lines that begin with # are remarks.
        source: named in errors.
        name: of the trace.

    Raises:
        DataError: a column is missing or not known, or a value cannot be; says the line.
    """
    remarks: dict[str, str] = {}
    rows: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            key, _, value = line[1:].partition(":")
            remarks[key.strip()] = value.strip()
        elif line.strip():
            rows.append((number, line))
    if not rows:
        raise DataError(f"{source} is empty; its first line is {','.join(COLUMNS)}.")
    if len(rows) > SCANS_MAX + 1:
        raise DataError(f"{source} has more than {SCANS_MAX} scans.")
    columns = _columns(source, rows[0][1])
    reader = csv.reader(line for _, line in rows[1:])
    scans: list[Scan] = []
    for (number, _), cells in zip(rows[1:], reader, strict=False):
        where = f"{source}, line {number}"
        if len(cells) != len(columns):
            raise DataError(f"{where}: {len(columns)} values are expected, not {len(cells)}.")
        values = dict(zip(columns, cells, strict=True))
        times = [_seconds(where, column, values[column]) for column in COLUMNS[:3]]
        scans.append(Scan(*times, pool=values.get("pool", "").strip() or "default"))
    scans.sort(key=lambda scan: scan.arrival_s)
    duration_s = 0.0
    if "duration_s" in remarks:
        duration_s = _seconds(source, "duration_s", remarks["duration_s"])
    start = _start(source, remarks["start"]) if "start" in remarks else DEFAULT_START
    return Trace(name or source, start, duration_s, tuple(scans))


def format_trace(trace: Trace, remarks: Iterable[str] = ()) -> str:
    """The text of a trace, with remarks before it; `parse_trace` reads it."""
    out = io.StringIO()
    for remark in remarks:
        out.write(f"# {remark}\n")
    out.write(f"# start: {trace.start.isoformat()}\n# duration_s: {trace.duration_s:g}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for scan in trace.scans:
        times = (scan.arrival_s, scan.scan_s, scan.reconstruction_s)
        writer.writerow([*(f"{round(value, 3):.10g}" for value in times), scan.pool])
    return out.getvalue()


def _columns(source: str, line: str) -> list[str]:
    columns = [column.strip() for column in next(csv.reader([line]))]
    for column in COLUMNS[:3]:
        if column not in columns:
            raise DataError(
                f"{source}: the column {column} is missing; the first line is {','.join(COLUMNS)}."
            )
    for column in columns:
        if column not in COLUMNS or columns.count(column) > 1:
            raise DataError(f"{source}: no column {column!r}; there are {', '.join(COLUMNS)}.")
    return columns


def _seconds(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(f"{where}: {column} is not a number.") from error
    if not math.isfinite(value) or not 0 <= value <= _SECONDS_MAX:
        raise DataError(f"{where}: {column} must lie between 0 and ten years, in seconds.")
    return value


def _start(source: str, text: str) -> datetime:
    try:
        start = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"{source}: start is not a time such as {DEFAULT_START}.") from error
    return start if start.tzinfo else start.replace(tzinfo=UTC)
