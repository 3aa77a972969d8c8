"""What `elastron export` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from elastron.cli.console import counted, print_json, show_remark, stderr
from elastron.cli.image_choice import chosen_groups, read_series
from elastron.client.export.geometry import image_geometry
from elastron.client.export.window import Part, Window
from elastron.mrd.dataset import Dataset
from elastron.mrd.image import Image


@dataclass(frozen=True, slots=True)
class DicomOptions:
    """What only DICOM takes; see the options of `elastron export`."""

    scan: Path | None
    patient_name: str
    patient_id: str
    patient_birth_date: str
    patient_sex: str
    study_uid: str | None
    study_description: str


@dataclass(frozen=True, slots=True)
class Export:
    """What to export how; see the options of `elastron export`."""

    file: Path
    to: Literal["png", "nifti", "dicom"]
    output: Path
    groups: Sequence[str]
    series: Sequence[int]
    part: Literal["magnitude", "phase", "real", "imaginary"]
    window: float | None
    level: float | None
    bits: int
    dicom: DicomOptions


#: Name of a series, its images and the folder -> files written.
Writer = Callable[[str, Sequence[Image], Path], list[Path]]


def export_images(export: Export, *, json: bool) -> None:
    """Write all files and say where they are."""
    write = _writer(export)
    groups = chosen_groups(export.file, export.groups)
    paths: list[Path] = []
    assumed = False
    for group in groups:
        # Several groups have series of the same names.
        folder = export.output if len(groups) == 1 else export.output / _file_name(group)
        folder.mkdir(parents=True, exist_ok=True)
        for name, images in read_series(export.file, group, export.series).items():
            assumed = assumed or any(image_geometry(image).assumed for image in images)
            paths += write(name, images, folder)
    if assumed and export.to != "png":
        show_remark(
            "Some headers have no usable directions or field of view: axial slices and pixels of "
            "1 mm were assumed."
        )
    if json:
        print_json([str(path) for path in paths])
    else:
        written = f"{counted(len(paths), 'file')} → {export.output}"
        stderr().print(written, markup=False, soft_wrap=True)


def _writer(export: Export) -> Writer:
    part = Part(export.part)
    window = None
    if export.window is not None and export.level is not None:
        window = Window(level=export.level, width=export.window)
    # A format's module is imported only when it is asked for: NIfTI and DICOM need extras.
    match export.to:
        case "png":
            from elastron.client.export.png import export_png  # noqa: PLC0415

            return lambda name, images, folder: export_png(
                name, images, folder, window=window, part=part, bits=export.bits
            )
        case "nifti":
            from elastron.client.export.nifti import export_nifti  # noqa: PLC0415

            return lambda name, images, folder: export_nifti(name, images, folder, part=part)
        case "dicom":
            return _dicom_writer(export.dicom, part, window)


def _dicom_writer(options: DicomOptions, part: Part, window: Window | None) -> Writer:
    from elastron.client.export.dicom import Patient, Study, export_dicom  # noqa: PLC0415

    header = None
    if options.scan is not None:
        with Dataset(options.scan) as dataset:
            header = dataset.header
    patient = Patient(
        name=options.patient_name,
        id=options.patient_id,
        birth_date=options.patient_birth_date,
        sex=options.patient_sex,
    )
    study = Study(description=options.study_description, patient=patient, scan_header=header)
    if options.study_uid is not None:
        study = replace(study, uid=options.study_uid)
    return lambda name, images, folder: export_dicom(
        name, images, folder, study=study, window=window, part=part
    )


def _file_name(group: str) -> str:
    """A group's name as a folder's: nothing that a file system or a shell minds."""
    return re.sub(r"[^\w.-]+", "_", group).strip("._") or "images"
