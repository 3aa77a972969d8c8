"""Summaries of scans and images as tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from elastron.cli.console import as_bytes, as_seconds, stdout
from elastron.client.summary import Summary

#: Siemens counts time in ticks of this length, and converters keep them.
_TICK_S = 2.5e-3


def show_scan(scan: Summary) -> None:
    """One scan: a panel with a line for each thing worth knowing."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for number, encoding in enumerate(scan["encodings"]):
        name = "encoding" if len(scan["encodings"]) == 1 else f"encoding {number}"
        table.add_row(name, _encoding(encoding))
    for name, value in _scan_rows(scan):
        if value:
            table.add_row(name, value)
    _show(scan, table)


def show_images(images: Summary) -> None:
    """A group of images: a table with two short lines for each series."""
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("series", no_wrap=True)
    table.add_column("images", no_wrap=True, justify="right")
    for name in ("size", "type", "values"):
        table.add_column(name, no_wrap=True)
    for series in images["series"]:
        table.add_row(*_series_row(series))
    _show(images, table)


def _show(summary: Summary, table: Table) -> None:
    title = Text(_short(summary["file"]), "bold")
    title.append(f"  [{summary['group']}]", "not bold dim")
    stdout().print(Panel(table, title=title, title_align="left", border_style="dim", expand=False))


def _series_row(series: Summary) -> tuple[Text, ...]:
    if not series["images"]:
        return Text(series["name"], "bold"), Text("0")
    matrix = series["matrix"] if series["matrix"][2] > 1 else series["matrix"][:2]
    channels = f" x {series['channels']} channels" if series["channels"] > 1 else ""
    values = Text("none" if series["range"] is None else _span(series["range"]))
    if not series["finite"]:
        values.append(" and NaN or infinite", "red")
    counters = ", ".join(f"{name} {_span(span)}" for name, span in series["counters"].items())
    role = "" if series["role"] in (None, "Image") else series["role"]
    return (
        _two_lines(Text(series["name"], "bold"), role, "cyan"),
        Text(str(series["images"])),
        _two_lines(
            Text(_times(matrix) + channels),
            f"{_times(series['field_of_view_mm'][: len(matrix)])} mm",
        ),
        _two_lines(Text(", ".join(series["types"])), series["dtype"]),
        _two_lines(values, counters),
    )


def _two_lines(first: Text, second: str, style: str = "dim") -> Text:
    return Text("\n").join([first, Text(second, style)]) if second else first


def _encoding(encoding: Summary) -> Text:
    text = Text(encoding["trajectory"], "bold")
    text.append(
        f"  {_times(encoding['encoded_matrix'])} at {_times(encoding['encoded_fov_mm'])} mm", "none"
    )
    text.append(" → ", "dim")
    text.append(
        f"{_times(encoding['recon_matrix'])} at {_times(encoding['recon_fov_mm'])} mm", "none"
    )
    if encoding["acceleration"] and max(encoding["acceleration"]) > 1:
        text.append(f"  R = {_times(encoding['acceleration'])}", "cyan")
        if encoding["calibration_mode"]:
            text.append(f" {encoding['calibration_mode']}", "cyan")
    return text


def _scan_rows(scan: Summary) -> list[tuple[str, str | Text]]:
    shapes = ", ".join(
        f"{shape['readouts']} of {shape['channels']} channels x {shape['samples']} samples"
        for shape in scan["shapes"]
    )
    trajectory = {s["trajectory_dimensions"] for s in scan["shapes"]} - {0}
    system = ", ".join(
        filter(
            None,
            (
                scan["system"],
                scan["field_strength_t"] and f"{scan['field_strength_t']:.3g} T",
                scan["receiver_channels"] and f"{scan['receiver_channels']} receivers",
            ),
        )
    )
    sequence = ", ".join(
        f"{name.rpartition('_')[0].replace('_', ' ')} {_listed(values)} {name.rpartition('_')[2]}"
        for name, values in scan["sequence"].items()
    )
    values = Text(f"up to {scan['largest']:.4g}" if scan["finite"] else "")
    if not scan["finite"]:
        values.append("NaN or infinite samples", "red")
    return [
        ("readouts", f"{shapes}; {as_bytes(scan['bytes'])}"),
        ("noise", f"{scan['noise_readouts']} readouts" if scan["noise_readouts"] else "none"),
        (
            "calibration",
            f"{scan['calibration_readouts']} readouts" if scan["calibration_readouts"] else "none",
        ),
        ("counters", ", ".join(f"{n} {_span(v)}" for n, v in scan["counters"].items())),
        ("flags", ", ".join(f"{n.lower()} {c}" for n, c in scan["flags"].items())),
        ("trajectory", f"{_listed(sorted(trajectory))} dimensions" if trajectory else ""),
        ("samples", values),
        ("dwell time", f"{_listed(scan['sample_times_us'])} µs"),
        ("duration", _duration(scan["time_stamps"])),
        ("sequence", sequence),
        ("system", system),
        ("protocol", scan["protocol"] or ""),
        ("lies", scan["patient_position"] or ""),
        ("depends on", ", ".join(scan["dependencies"])),
        ("waveforms", ", ".join(f"{c} of id {n}" for n, c in scan["waveforms"].items())),
        ("patient", Text(", ".join(f"{n} {v}" for n, v in scan.get("patient", {}).items()), "red")),
    ]


def _duration(stamps: list[int] | None) -> str:
    if stamps is None or stamps[0] == stamps[1]:
        return ""
    seconds = (stamps[1] - stamps[0]) * _TICK_S
    return f"{as_seconds(seconds)}, if time stamps count 2.5 ms"


def _times(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def _span(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{low:.4g}" if low == high else f"{low:.4g} … {high:.4g}"


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _short(path: str) -> str:
    """A path that fits a title: its last part where the whole is long."""
    return path if len(path) <= stdout().width // 2 else Path(path).name
