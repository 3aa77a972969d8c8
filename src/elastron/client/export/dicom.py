"""Images as DICOM files: MR Image Storage, one file a slice.

No patient field is taken from the data: what the caller gives is written, nothing else.

Importing this module without pydicom raises ElastronError, which says how to install it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ismrmrd.xsd import ismrmrdHeader

from elastron.client.export.geometry import Geometry, image_geometry
from elastron.client.export.planes import image_type_name
from elastron.client.export.window import Part, Window, auto_window, real_part
from elastron.errors import ElastronError
from elastron.mrd.image import Image, ImageType

try:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid
    from pydicom.valuerep import format_number_as_ds
except ModuleNotFoundError as missing:
    raise ElastronError("DICOM export needs pydicom: pip install 'elastron[dicom]'") from missing


def _new_uid() -> UID:
    """Of the root 2.25: made of a random UUID, so that it needs no registration."""
    return generate_uid(prefix=None)


@dataclass(frozen=True, slots=True)
class Patient:
    """What the files say of the patient; DICOM's own formats."""

    name: str = "Anonymous"
    id: str = ""
    birth_date: str = ""
    sex: str = ""


@dataclass(frozen=True, slots=True)
class Study:
    """What the series of one export share.

    Attributes:
        uid: Study Instance UID.
        frame_of_reference_uid: the same for all images that share the scanner's coordinates.
        description: Study Description.
        patient: see `Patient`.
        scan_header: MRD header of the scan, for echo time and the like; None leaves them empty.
    """

    uid: str = field(default_factory=_new_uid)
    frame_of_reference_uid: str = field(default_factory=_new_uid)
    description: str = ""
    patient: Patient = field(default_factory=Patient)
    scan_header: ismrmrdHeader | None = None


def export_dicom(
    name: str,
    images: Sequence[Image],
    folder: Path,
    *,
    study: Study | None = None,
    window: Window | None = None,
    part: Part = Part.MAGNITUDE,
) -> list[Path]:
    """Write every slice of a series.

    16-bit images keep their values. Others are scaled to 16 bits, the same for the whole series,
    with Rescale Slope and Intercept to get the values back.

    Args:
        name: of the series; begins the files' names.
        images: of one series.
        folder: must exist.
        study: what all series of this export share.
        window: display window; None chooses one for the series.
        part: what to store of complex images.

    Returns:
        The files written, named `<name>_<number>.dcm`; numbers count from 1.
    """
    study = study or Study()
    window = window or auto_window(images, part)
    scaling = _Scaling.of(images, part)
    series_uid = _new_uid()
    now = datetime.datetime.now()
    number = 0
    paths = []
    for image in images:
        geometry = image_geometry(image)
        values = real_part(image.data, part)
        for z in range(values.shape[1]):
            for channel in range(values.shape[0]):
                number += 1
                dataset = _dataset(study, series_uid, number, now)
                _describe_image(dataset, image, part, study.scan_header)
                _describe_place(dataset, geometry.at_slice(z), volume=values.shape[1] > 1)
                _put_pixels(dataset, values[channel, z], scaling, window)
                path = folder / f"{name}_{number:04d}.dcm"
                dataset.save_as(path, enforce_file_format=True)
                paths.append(path)
    return paths


@dataclass(frozen=True, slots=True)
class _Scaling:
    """stored = (value - intercept) / slope; an identity for 16-bit images."""

    slope: float
    intercept: float
    dtype: np.dtype

    @classmethod
    def of(cls, images: Sequence[Image], part: Part) -> _Scaling:
        dtypes = {image.data.dtype for image in images}
        if len(dtypes) == 1 and (dtype := dtypes.pop()) in (np.dtype("<u2"), np.dtype("<i2")):
            return cls(1.0, 0.0, dtype)
        low, high = np.inf, -np.inf
        for image in images:
            values = real_part(image.data, part)
            finite = values[np.isfinite(values)]
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        if low > 0:
            low = 0.0  # so that stored 0 is 0
        if not low < high:
            return cls(1.0, low if np.isfinite(low) else 0.0, np.dtype("<u2"))
        return cls((high - low) / 65535, low, np.dtype("<u2"))

    def store(self, values: np.ndarray) -> np.ndarray:
        if self.slope == 1.0 and self.intercept == 0.0 and values.dtype == self.dtype:
            return np.ascontiguousarray(values)
        scaled = (np.nan_to_num(values.astype(np.float64)) - self.intercept) / self.slope
        return np.clip(np.rint(scaled), 0, 65535).astype(self.dtype)


def _dataset(study: Study, series_uid: UID, number: int, now: datetime.datetime) -> Dataset:
    """A data set with everything that does not come from the image."""
    uid = _new_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = uid
    dataset.InstanceCreationDate = dataset.ContentDate = now.strftime("%Y%m%d")
    dataset.InstanceCreationTime = dataset.ContentTime = now.strftime("%H%M%S.%f")
    dataset.PatientName = study.patient.name
    dataset.PatientID = study.patient.id
    dataset.PatientBirthDate = study.patient.birth_date
    dataset.PatientSex = study.patient.sex
    dataset.StudyInstanceUID = study.uid
    dataset.StudyDescription = study.description
    # When the scan was made is not known here, and saying "now" would be wrong.
    for name in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
        setattr(dataset, name, "")
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = series_uid
    dataset.FrameOfReferenceUID = study.frame_of_reference_uid
    dataset.PositionReferenceIndicator = dataset.Laterality = ""
    dataset.Manufacturer = "Elastron"
    dataset.InstanceNumber = number
    return dataset


_TYPE_CODES = {
    ImageType.MAGNITUDE: "M",
    ImageType.PHASE: "P",
    ImageType.REAL: "R",
    ImageType.IMAG: "I",
}
_PART_CODES = {Part.MAGNITUDE: "M", Part.PHASE: "P", Part.REAL: "R", Part.IMAGINARY: "I"}


def _describe_image(
    dataset: Dataset, image: Image, part: Part, scan_header: ismrmrdHeader | None
) -> None:
    header = image.header
    if image_type_name(image) == "complex":
        code = _PART_CODES[part]
    else:
        codes = {int(kind): letter for kind, letter in _TYPE_CODES.items()}
        code = codes.get(int(header["image_type"]), "M")
    role = str(image.meta.first("GADGETRON_DataRole", ""))
    derived = role.lower() not in ("image", "")
    dataset.ImageType = ["DERIVED" if derived else "ORIGINAL", "PRIMARY", code]
    if derived:
        dataset.ImageType.append(_code_string(role))
    dataset.SeriesNumber = int(header["image_series_index"])
    dataset.SeriesDescription = role[:64] if derived else ""
    dataset.AcquisitionNumber = int(header["repetition"]) + 1
    dataset.EchoNumbers = int(header["contrast"]) + 1
    dataset.PatientPosition = _patient_position(image)
    dataset.ScanningSequence = "RM"  # research mode: the sequence is not known here
    dataset.SequenceVariant = "NONE"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "3D" if image.data.shape[1] > 1 else "2D"
    for name in ("RepetitionTime", "EchoTime", "EchoTrainLength"):
        setattr(dataset, name, None)
    if scan_header is not None:
        _describe_sequence(dataset, scan_header, int(header["contrast"]))


def _describe_sequence(dataset: Dataset, header: ismrmrdHeader, contrast: int) -> None:
    """Milliseconds and degrees in both worlds."""

    def value(values: Sequence[float] | None, index: int = 0) -> float | None:
        return values[min(index, len(values) - 1)] if values else None

    sequence = header.sequenceParameters
    if sequence is not None:
        dataset.RepetitionTime = _decimal(value(sequence.TR))
        dataset.EchoTime = _decimal(value(sequence.TE, contrast))
        if sequence.TI:
            dataset.InversionTime = _decimal(value(sequence.TI, contrast))
        if sequence.flipAngle_deg:
            dataset.FlipAngle = _decimal(value(sequence.flipAngle_deg, contrast))
    system = header.acquisitionSystemInformation
    if system is not None and system.systemFieldStrength_T:
        dataset.MagneticFieldStrength = _decimal(system.systemFieldStrength_T)
    hertz = header.experimentalConditions.H1resonanceFrequency_Hz
    if hertz:
        dataset.ImagingFrequency = _decimal(hertz / 1e6)


def _describe_place(dataset: Dataset, geometry: Geometry, *, volume: bool) -> None:
    directions = geometry.directions
    dataset.ImageOrientationPatient = [_decimal(v) for v in directions[:, :2].T.ravel()]
    dataset.ImagePositionPatient = [_decimal(v) for v in geometry.origin]
    dataset.PixelSpacing = [_decimal(geometry.spacing[1]), _decimal(geometry.spacing[0])]
    dataset.SliceThickness = _decimal(geometry.spacing[2])
    dataset.SliceLocation = _decimal(float(geometry.origin @ directions[:, 2]))
    if volume:
        dataset.SpacingBetweenSlices = _decimal(geometry.spacing[2])


def _put_pixels(dataset: Dataset, values: np.ndarray, scaling: _Scaling, window: Window) -> None:
    stored = scaling.store(values)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.WindowCenter = _decimal(window.level)
    dataset.WindowWidth = _decimal(window.width)
    dataset.RescaleIntercept = _decimal(scaling.intercept)
    dataset.RescaleSlope = _decimal(scaling.slope)
    dataset.RescaleType = "US"
    dataset.PixelData = stored.tobytes()


def _patient_position(image: Image) -> str:
    """HFS, FFP, …: how the patient lies, not who; empty where it is not known."""
    value = str(image.meta.first("patient_position", "")).upper()
    known = len(value) in (3, 4) and value[:2] in ("HF", "FF")
    return value if known else ""


def _code_string(text: str) -> str:
    """DICOM's CS: up to 16 capitals, digits, spaces and underscores."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.upper())
    return kept[:16]


def _decimal(value: float | None) -> str | None:
    """DICOM's DS: at most 16 characters."""
    return None if value is None else format_number_as_ds(float(value))
