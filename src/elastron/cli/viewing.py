"""What `elastron view` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from elastron.cli.console import print_json, stderr, stdout
from elastron.cli.file_tables import show_images
from elastron.cli.image_choice import Series, chosen_groups, read_series
from elastron.cli.preview import preview
from elastron.client.export.montage import MontageSettings, montage
from elastron.client.export.window import Part, Window
from elastron.client.summary import summarize_series


@dataclass(frozen=True, slots=True)
class View:
    """What to show how; see the options of `elastron view`."""

    file: Path
    groups: Sequence[str]
    series: Sequence[int]
    window: float | None
    level: float | None
    part: Literal["magnitude", "phase", "real", "imaginary"]
    output: Path | None
    tile: int
    columns: int | None
    limit: int
    preview: bool | None


def show(view: View, *, json: bool) -> None:
    """Print the summary, draw the montage."""
    part = Part(view.part)
    window = None
    if view.window is not None and view.level is not None:
        window = Window(level=view.level, width=view.window)
    groups = chosen_groups(view.file, view.groups)
    everything: Series = {}
    summaries = []
    for group in groups:
        series = read_series(view.file, group, view.series)
        described = [summarize_series(name, images) for name, images in series.items()]
        summary = {"file": str(view.file), "group": group, "kind": "images", "series": described}
        summaries.append(summary)
        if not json:
            show_images(summary)
        prefix = f"{group}/" if len(groups) > 1 else ""
        everything.update({prefix + name: images for name, images in series.items()})
    if json:
        print_json(summaries)
    in_terminal = stdout().is_terminal and not json if view.preview is None else view.preview
    if in_terminal:
        stdout().print(preview(everything, part, window, stdout().width))
    if view.output is not None:
        settings = MontageSettings(
            window=window,
            part=part,
            tile=view.tile,
            columns=view.columns,
            tiles_max=view.limit,
            title=f"{view.file.name}  {groups[0]}" if len(groups) == 1 else view.file.name,
        )
        montage(everything, settings).save(view.output)
        stderr().print(f"montage → {view.output}", markup=False, soft_wrap=True)
