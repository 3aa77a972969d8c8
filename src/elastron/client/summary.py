"""What a scan or a file of images holds, in plain values that print and serialise.

Nothing here tells who the patient is, unless it is asked for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from ismrmrd.xsd import ismrmrdHeader
from ismrmrd.xsd.ismrmrdschema.ismrmrd import encodingType

from elastron.client.export.planes import image_type_name
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.mrd.counters import COUNTER_NAMES
from elastron.mrd.dataset import Dataset
from elastron.mrd.image import Image

Summary = dict[str, Any]

_IMAGE_COUNTERS = ("slice", "repetition", "contrast", "phase", "set", "average")


def summarize_scan(
    path: str | os.PathLike[str], group: str = "dataset", *, patient: bool = False
) -> Summary:
    """Look through a scan; readouts are read batch by batch.

    Args:
        path: of the file.
        group: of the raw data.
        patient: tell who the patient is, and the ids that say so.

    Raises:
        DataError: the file cannot be read.
        HeaderError: its header cannot be understood.
    """
    with Dataset(path, "r", group) as dataset:
        header = dataset.header
        summary: Summary = {"file": os.fspath(path), "group": group, "kind": "scan"}
        summary.update(_header_summary(header))
        if patient:
            summary["patient"] = _patient(header)
        readouts = _Readouts()
        for batch in dataset.acquisition_batches():
            readouts.add(batch)
        summary.update(readouts.summary())
        waveforms = Counter(int(waveform.header["waveform_id"]) for waveform in dataset.waveforms())
        summary["waveforms"] = {str(number): count for number, count in waveforms.items()}
    return summary


def summarize_images(path: str | os.PathLike[str], group: str) -> Summary:
    """Look through a group of images, one by one.

    Raises:
        DataError: the file cannot be read.
    """
    with Dataset(path, "r", group) as dataset:
        series = [
            summarize_series(name, dataset.iter_images(name)) for name in dataset.image_groups()
        ]
    return {"file": os.fspath(path), "group": group, "kind": "images", "series": series}


def summarize_series(name: str, images: Iterable[Image]) -> Summary:
    """What one series holds.

    Args:
        name: of the series, as `image_1`.
        images: all of it.
    """
    count, low, high, finite = 0, np.inf, -np.inf, True
    seen: dict[str, set[int]] = {counter: set() for counter in _IMAGE_COUNTERS}
    types: dict[str, None] = {}
    first: Image | None = None
    for image in images:
        first = first or image
        count += 1
        types[image_type_name(image)] = None
        for counter, values in seen.items():
            values.add(int(image.header[counter]))
        magnitudes = np.abs(image.data) if np.iscomplexobj(image.data) else image.data
        good = magnitudes[np.isfinite(magnitudes)]
        finite = finite and good.size == magnitudes.size
        if good.size:
            low, high = min(low, float(good.min())), max(high, float(good.max()))
    summary: Summary = {"name": name, "images": count}
    if first is None:
        return summary
    channels, nz, ny, nx = first.data.shape
    role = first.meta.first("GADGETRON_DataRole")
    summary |= {
        "series": int(first.header["image_series_index"]),
        "role": None if role is None else str(role),
        "types": list(types),
        "matrix": [nx, ny, nz],
        "channels": channels,
        "dtype": first.data.dtype.name,
        "field_of_view_mm": [float(v) for v in first.header["field_of_view"]],
        "range": [low, high] if high >= low else None,
        "finite": finite,
        "counters": {name: [min(v), max(v)] for name, v in seen.items() if max(v) > 0},
    }
    return summary


class _Readouts:
    """Counts over the readouts of a scan."""

    def __init__(self) -> None:
        self._count = 0
        self._bytes = 0
        self._shapes: Counter[tuple[int, int, int]] = Counter()
        self._flags: Counter[str] = Counter()
        self._counters: dict[str, tuple[int, int]] = {}
        self._stamps: tuple[int, int] | None = None
        self._sample_times: set[float] = set()
        self._largest = 0.0
        self._finite = True

    def add(self, batch: AcquisitionBatch) -> None:
        self._count += len(batch)
        self._bytes += batch.nbytes
        channels, samples = batch.data.shape[1:]
        dimensions = 0 if batch.trajectory is None else batch.trajectory.shape[2]
        self._shapes[channels, samples, dimensions] += len(batch)
        for flag in AcquisitionFlag:
            if hits := int(np.count_nonzero(batch.any_flag(flag))):
                self._flags[flag.name] += hits
        self._sample_times |= {round(float(t), 3) for t in set(batch.headers["sample_time_us"])}
        parts = np.ascontiguousarray(batch.data).view(np.float32)
        largest = float(np.abs(parts).max(initial=0))
        self._finite = self._finite and np.isfinite(largest)
        self._largest = max(self._largest, largest)
        imaging = batch.select(~batch.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT))
        if not len(imaging):
            return
        for name in COUNTER_NAMES:
            values = imaging.counter(name)
            self._counters[name] = _widened(self._counters.get(name), values)
        stamps = imaging.headers["acquisition_time_stamp"]
        self._stamps = _widened(self._stamps, stamps)

    def summary(self) -> Summary:
        flags = dict(self._flags)
        return {
            "readouts": self._count,
            "bytes": self._bytes,
            "shapes": [
                {"channels": c, "samples": s, "trajectory_dimensions": d, "readouts": n}
                for (c, s, d), n in self._shapes.items()
            ],
            "noise_readouts": flags.get("IS_NOISE_MEASUREMENT", 0),
            "calibration_readouts": flags.get("IS_PARALLEL_CALIBRATION", 0)
            + flags.get("IS_PARALLEL_CALIBRATION_AND_IMAGING", 0),
            "flags": flags,
            "counters": {n: list(v) for n, v in self._counters.items() if v != (0, 0)},
            "time_stamps": None if self._stamps is None else list(self._stamps),
            "sample_times_us": sorted(self._sample_times),
            "largest": self._largest if self._finite else None,
            "finite": bool(self._finite),
        }


def _widened(bounds: tuple[int, int] | None, values: np.ndarray) -> tuple[int, int]:
    low, high = int(values.min()), int(values.max())
    return (low, high) if bounds is None else (min(bounds[0], low), max(bounds[1], high))


def _header_summary(header: ismrmrdHeader) -> Summary:
    system = header.acquisitionSystemInformation
    sequence = header.sequenceParameters
    measurement = header.measurementInformation
    return {
        "protocol": None if measurement is None else measurement.protocolName,
        "patient_position": None
        if measurement is None or measurement.patientPosition is None
        else measurement.patientPosition.value,
        "dependencies": []
        if measurement is None
        else [each.dependencyType for each in measurement.measurementDependency],
        "system": None
        if system is None
        else " ".join(filter(None, (system.systemVendor, system.systemModel))) or None,
        "field_strength_t": None if system is None else system.systemFieldStrength_T,
        "receiver_channels": None if system is None else system.receiverChannels,
        "sequence": {}
        if sequence is None
        else {
            name: list(values)
            for name, values in (
                ("TR_ms", sequence.TR),
                ("TE_ms", sequence.TE),
                ("TI_ms", sequence.TI),
                ("flip_angle_deg", sequence.flipAngle_deg),
                ("echo_spacing_ms", sequence.echo_spacing),
            )
            if values
        },
        "encodings": [_encoding(each) for each in header.encoding],
    }


def _encoding(encoding: encodingType) -> Summary:
    def matrix(space: Any) -> list[int]:
        return [space.matrixSize.x, space.matrixSize.y, space.matrixSize.z]

    def fov(space: Any) -> list[float]:
        size = space.fieldOfView_mm
        return [size.x, size.y, size.z]

    parallel = encoding.parallelImaging
    factor = None if parallel is None else parallel.accelerationFactor
    mode = None if parallel is None else parallel.calibrationMode
    limits = encoding.encodingLimits
    names = ("kspace_encoding_step_1", "kspace_encoding_step_2")
    return {
        "trajectory": encoding.trajectory.value,
        "encoded_matrix": matrix(encoding.encodedSpace),
        "encoded_fov_mm": fov(encoding.encodedSpace),
        "recon_matrix": matrix(encoding.reconSpace),
        "recon_fov_mm": fov(encoding.reconSpace),
        "acceleration": None
        if factor is None
        else [factor.kspace_encoding_step_1, factor.kspace_encoding_step_2],
        "calibration_mode": getattr(mode, "value", mode),
        "limits": {
            name: [limit.minimum, limit.center, limit.maximum]
            for name in names
            if (limit := getattr(limits, name)) is not None
        },
    }


def _patient(header: ismrmrdHeader) -> Summary:
    """Everything that tells who and when."""
    found: Summary = {}
    sections = (header.subjectInformation, header.studyInformation)
    names = (
        ("patientName", "patientID", "patientBirthdate", "patientGender", "patientWeight_kg"),
        ("studyID", "studyInstanceUID", "studyDate", "studyTime", "accessionNumber"),
    )
    for section, fields in zip(sections, names, strict=True):
        for name in fields:
            value = getattr(section, name, None)
            if value is not None:
                found[name] = getattr(value, "value", value)
    measurement = header.measurementInformation
    if measurement is not None and measurement.measurementID:
        found["measurementID"] = measurement.measurementID
    return {name: v if isinstance(v, int | float | str) else str(v) for name, v in found.items()}
