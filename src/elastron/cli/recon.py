"""`elastron recon`: reconstruct in this process, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from elastron.cli.options import Json, OutputGroup


def recon(
    scan: Annotated[
        Path, typer.Argument(help="ISMRMRD HDF5 file.", metavar="SCAN.h5", dir_okay=False)
    ],
    *,
    config: Annotated[
        str, typer.Option("--config", "-c", help="Stock config by name.")
    ] = "default.xml",
    config_file: Annotated[
        Path | None, typer.Option("--config-file", "-C", help="A config file.", exists=True)
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="HDF5 file for the images; appended to.")
    ] = Path("out.h5"),
    group: Annotated[
        str, typer.Option("--group", "-g", help="Group of the raw data in the scan's file.")
    ] = "dataset",
    output_group: OutputGroup = None,
    threads: Annotated[int, typer.Option(min=1, help="For FFTs and linear algebra.")] = 2,
    json: Json = False,
) -> None:
    """Reconstruct a scan here, without a server, and store the images."""
    import time  # noqa: PLC0415  - see elastron.cli

    from elastron.cli.console import as_seconds, counted, print_json, stderr  # noqa: PLC0415
    from elastron.client import ImageFile  # noqa: PLC0415
    from elastron.pipeline import load_config, reconstruct  # noqa: PLC0415

    chosen = config_file if config_file is not None else load_config(config)
    started = time.monotonic()
    images = reconstruct(scan, chosen, group=group, threads=threads)
    seconds = time.monotonic() - started
    with ImageFile(output, output_group) as file:
        for image in images:
            file.append(image)
    if json:
        print_json(
            {
                "scan": str(scan),
                "output": str(output),
                "group": file.group,
                "images": len(images),
                "series": file.counts,
                "seconds": round(seconds, 6),
            }
        )
        return
    series = f" in {', '.join(file.counts)}" if file.counts else ""
    stderr().print(
        f"{counted(len(images), 'image')}{series}, {as_seconds(seconds)} → {output}",
        markup=False,
        soft_wrap=True,
    )
