"""`elastron export`: images for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    file: Annotated[
        Path, typer.Argument(help="HDF5 file with images.", metavar="OUT.h5", dir_okay=False)
    ],
    *,
    to: Annotated[Literal["png", "nifti", "dicom"], typer.Option("--to", "-t", help="Format.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; made if it is not there.")
    ],
    group: Annotated[
        list[str] | None,
        typer.Option("--group", "-g", help="Groups to export [the newest; all that are no times]."),
    ] = None,
    series: Annotated[
        list[int] | None, typer.Option("--series", "-s", help="Only series of these numbers.")
    ] = None,
    part: Annotated[
        Literal["magnitude", "phase", "real", "imaginary"],
        typer.Option(help="What to export of complex images."),
    ] = "magnitude",
    window: Annotated[
        float | None, typer.Option(help="Width of the grey-value window (PNG, DICOM).")
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="Middle of the grey-value window (PNG, DICOM).")
    ] = None,
    bits: Annotated[Literal["8", "16"], typer.Option(help="Bits of a pixel (PNG).")] = "8",
    scan: Annotated[
        Path | None,
        typer.Option(
            help="The images' raw data: its header fills in echo time and the like (DICOM).",
            exists=True,
        ),
    ] = None,
    patient_name: Annotated[
        str, typer.Option(help="Family^Given (DICOM). No patient field comes from the data.")
    ] = "Anonymous",
    patient_id: Annotated[str, typer.Option(help="(DICOM)")] = "",
    patient_birth_date: Annotated[str, typer.Option(help="YYYYMMDD (DICOM)")] = "",
    patient_sex: Annotated[Literal["", "M", "F", "O"], typer.Option(help="(DICOM)")] = "",
    study_uid: Annotated[
        str | None, typer.Option(help="Add to this study (DICOM) [a new one].")
    ] = None,
    study_description: Annotated[str, typer.Option(help="(DICOM)")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the files' names as JSON.")] = False,
) -> None:
    """Export images as PNG, NIfTI or DICOM.

    NIfTI and DICOM carry the images' place in the patient. They need the extras
    `elastron[nifti]` and `elastron[dicom]`.
    """
    from elastron.cli.exporting import DicomOptions, Export, export_images  # noqa: PLC0415

    if (window is None) != (level is None):
        raise typer.BadParameter("give --window and --level together", param_hint="--window")
    if window is not None and not window > 0:
        raise typer.BadParameter("the window must be wider than 0", param_hint="--window")
    export_images(
        Export(
            file=file,
            to=to,
            output=output,
            groups=group or [],
            series=series or [],
            part=part,
            window=window,
            level=level,
            bits=int(bits),
            dicom=DicomOptions(
                scan=scan,
                patient_name=patient_name,
                patient_id=patient_id,
                patient_birth_date=patient_birth_date,
                patient_sex=patient_sex,
                study_uid=study_uid,
                study_description=study_description,
            ),
        ),
        json=json,
    )
