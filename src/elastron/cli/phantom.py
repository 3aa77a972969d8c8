"""`elastron phantom`: a simulated scan with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def phantom(
    output: Annotated[Path, typer.Argument(help="ISMRMRD HDF5 file to write.", metavar="OUT.h5")],
    *,
    matrix: Annotated[int, typer.Option("--matrix", "-m", help="Pixels along x and y.")] = 256,
    coils: Annotated[int, typer.Option("--coils", "-c", help="Receiver channels.")] = 8,
    slices: Annotated[int, typer.Option(help="Slices of a 2D scan.")] = 1,
    partitions: Annotated[
        int, typer.Option("--3d", help="Pixels along z of a 3D scan.", metavar="PARTITIONS")
    ] = 1,
    repetitions: Annotated[int, typer.Option("--repetitions", "-r", help="Of the scan.")] = 1,
    acceleration: Annotated[
        str,
        typer.Option("--acceleration", "-a", help="Along y, or along y and z: 2 or 2x2."),
    ] = "1",
    calibration: Annotated[
        Literal["embedded", "separate", "interleaved", "none"],
        typer.Option(help="Where an accelerated scan's calibration data comes from."),
    ] = "embedded",
    calibration_lines: Annotated[
        int, typer.Option(help="Calibration lines in the centre, along y (and z).")
    ] = 24,
    noise_scan: Annotated[
        bool, typer.Option("--noise-scan", help="Begin with noise-only readouts.")
    ] = False,
    oversampling: Annotated[int, typer.Option("--oversampling", help="Of the readout.")] = 2,
    partial_fourier: Annotated[
        float, typer.Option(help="Share of the lines along y that is acquired, above 0.5.")
    ] = 1.0,
    noise: Annotated[
        float, typer.Option("--noise", "-n", help="Standard deviation of a sample's parts.")
    ] = 0.05,
    noise_correlation: Annotated[
        float, typer.Option(help="Of neighbouring coils, 0 to below 1.")
    ] = 0.0,
    fov: Annotated[float, typer.Option(help="Field of view along x and y in mm.")] = 300.0,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    group: Annotated[str, typer.Option("--group", "-g", help="Group in the file.")] = "dataset",
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if there is one.")
    ] = False,
) -> None:
    """Simulate a scan of the multi-coil Shepp-Logan phantom.

    The same options and seed give the same samples.
    """
    from elastron.cli.console import as_bytes, counted, stderr  # noqa: PLC0415  - see elastron.cli
    from elastron.errors import DataError  # noqa: PLC0415
    from elastron.mrd.dataset import Dataset  # noqa: PLC0415
    from elastron.mrd.header import serialize_header  # noqa: PLC0415
    from elastron.recon.phantom_scan import (  # noqa: PLC0415
        Calibration,
        PhantomSettings,
        phantom_acquisitions,
    )

    if output.exists() and not force:
        raise DataError(f"{output} exists; name another file, or replace it with --force.")
    settings = PhantomSettings(
        matrix=matrix,
        partitions=partitions,
        coils=coils,
        slices=slices,
        repetitions=repetitions,
        acceleration=_acceleration(acceleration),
        calibration=Calibration(calibration),
        calibration_lines=calibration_lines,
        noise_readouts=_NOISE_READOUTS if noise_scan else 0,
        oversampling=oversampling,
        partial_fourier=partial_fourier,
        noise_level=noise,
        noise_correlation=noise_correlation,
        field_of_view_mm=fov,
        seed=seed,
    )
    header, batches = phantom_acquisitions(settings)
    readouts = 0
    with Dataset(output, "w", group) as dataset:
        dataset.write_header(serialize_header(header))
        for batch in batches:
            dataset.append(batch)
            readouts += len(batch)
    size = as_bytes(output.stat().st_size)
    stderr().print(f"{counted(readouts, 'readout')}, {size} → {output}", soft_wrap=True)


#: 256 readouts give a covariance matrix that is good to a few per mille.
_NOISE_READOUTS = 256


def _acceleration(text: str) -> tuple[int, int]:
    along_y, _, along_z = text.lower().partition("x")
    try:
        return int(along_y), int(along_z or 1)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not like 2 or 2x2", param_hint="--acceleration"
        ) from None
