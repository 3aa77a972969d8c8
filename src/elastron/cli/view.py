"""`elastron view`: look at images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def view(
    file: Annotated[
        Path, typer.Argument(help="HDF5 file with images.", metavar="OUT.h5", dir_okay=False)
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a montage of all images (PNG).")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", "-g", help="Groups to show [the newest; all that are no times]."),
    ] = None,
    series: Annotated[
        list[int] | None, typer.Option("--series", "-s", help="Only series of these numbers.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Width of the grey-value window [from the values].")
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="Middle of the grey-value window [from the values].")
    ] = None,
    part: Annotated[
        Literal["magnitude", "phase", "real", "imaginary"],
        typer.Option(help="What to show of complex images."),
    ] = "magnitude",
    tile: Annotated[int, typer.Option(min=16, max=4096, help="Size of a picture.")] = 256,
    columns: Annotated[int | None, typer.Option(min=1, help="Pictures in a row.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Pictures of one series at most.")] = 48,
    preview: Annotated[
        bool | None,
        typer.Option("--preview/--no-preview", help="A picture in the terminal [if it is one]."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Show a summary of the images, and a montage of them."""
    from elastron.cli.viewing import View, show  # noqa: PLC0415  - see elastron.cli

    if (window is None) != (level is None):
        raise typer.BadParameter("give --window and --level together", param_hint="--window")
    if window is not None and not window > 0:
        raise typer.BadParameter("the window must be wider than 0", param_hint="--window")
    show(
        View(
            file=file,
            groups=group or [],
            series=series or [],
            window=window,
            level=level,
            part=part,
            output=output,
            tile=tile,
            columns=columns,
            limit=limit,
            preview=preview,
        ),
        json=json,
    )
