"""`elastron inspect`: what a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    files: Annotated[
        list[Path], typer.Argument(help="HDF5 files with scans or images.", metavar="FILE...")
    ],
    *,
    group: Annotated[
        str | None, typer.Option("--group", "-g", help="Only this group of the file.")
    ] = None,
    patient: Annotated[
        bool, typer.Option("--patient", help="Show what the header says of the patient, too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what scans and image files hold.

    Scans: matrices, fields of view, coils, readouts, flags, counters, noise, calibration,
    trajectory, waveforms. Images: series, sizes, types, values. Nothing about the patient is
    shown without --patient.
    """
    from elastron.cli.console import print_json  # noqa: PLC0415  - see elastron.cli
    from elastron.cli.file_tables import show_images, show_scan  # noqa: PLC0415
    from elastron.client.groups import file_contents  # noqa: PLC0415
    from elastron.client.summary import summarize_images, summarize_scan  # noqa: PLC0415
    from elastron.errors import DataError  # noqa: PLC0415

    everything = []
    for path in files:
        contents = file_contents(path)
        scans = [name for name in contents.scans if group in (None, name)]
        images = [name for name in contents.images if group in (None, name)]
        if not scans and not images:
            missing = f"no group {group!r} with" if group else "neither"
            raise DataError(f"{path} has {missing} scans {'or' if group else 'nor'} images.")
        for name in scans:
            scan = summarize_scan(path, name, patient=patient)
            everything.append(scan)
            if not json:
                show_scan(scan)
        for name in images:
            series = summarize_images(path, name)
            everything.append(series)
            if not json:
                show_images(series)
    if json:
        print_json(everything)
