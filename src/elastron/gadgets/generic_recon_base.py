"""What the generic reconstruction gadgets share: scan facts, image headers, image numbers.

Behaviour follows Gadgetron 4.7.2, `GenericReconGadget` and `ImageArraySendMixin`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from ismrmrd.xsd import ismrmrdHeader

from elastron import __version__
from elastron.errors import ConfigError, DataError
from elastron.gadgets.base import Context, Gadget, P, Properties
from elastron.mrd.buffers import DataBuffered, ImageArray, ReconBit
from elastron.mrd.image import IMAGE_HEADER, ImageDataType, ImageType
from elastron.mrd.meta import Meta
from elastron.recon import snr

#: Set on maps (g-factor) that partial Fourier and k-space filters must leave alone.
SKIP_PROCESSING = "Skip_processing_after_recon"

_NO_TIME = 0xFFFFFFFF  # what the original's minimum starts from


class CalibrationMode(enum.Enum):
    """How calibration data was acquired (MRD header, `calibrationMode`)."""

    NO_ACCELERATION = "noacceleration"
    EMBEDDED = "embedded"
    INTERLEAVED = "interleaved"
    SEPARATE = "separate"
    EXTERNAL = "external"
    OTHER = "other"


class DataRole(enum.Enum):
    """What an image array holds; the value is its `GADGETRON_DataRole`."""

    IMAGE = "Image"
    GFACTOR = "Gfactor"
    SNR_MAP = "SNR_MAP"
    STD_MAP = "STD_MAP"


class GenericReconProperties(Properties):
    """Properties all generic gadgets know."""

    verbose: bool = False
    debug_folder: str = ""
    perform_timing: bool = False
    time_tick: float = 2.5


@dataclass(frozen=True, slots=True)
class EncodingInfo:
    """One encoding space of the MRD header.

    Attributes:
        acceleration: along E1 and E2.
        calibration: NO_ACCELERATION whenever both factors are 1.
        offset: E1, E2; encoding step + offset = line of the buffer (partial Fourier).
        counts: number of sets, repetitions, phases, contrasts, slices; for image numbers.
    """

    acceleration: tuple[int, int]
    calibration: CalibrationMode
    offset: tuple[int, int]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class ScanInfo:
    """What the generic gadgets need of the MRD header.

    Attributes:
        encodings: one per encoding space.
        attributes: image attributes that are the same for all images.
    """

    encodings: tuple[EncodingInfo, ...]
    attributes: dict[str, str]

    @classmethod
    def of(cls, header: ismrmrdHeader) -> ScanInfo:
        """Read the facts from the MRD header.

        Raises:
            ConfigError: acquisitionSystemInformation is missing.
        """
        if header.acquisitionSystemInformation is None:
            raise ConfigError(
                "the MRD header has no acquisitionSystemInformation, which the generic "
                "reconstruction gadgets need; add it to the header"
            )
        return cls(
            encodings=tuple(_encoding_info(encoding) for encoding in header.encoding),
            attributes=_scan_attributes(header),
        )

    def encoding(self, index: int) -> EncodingInfo:
        """Facts of one encoding space.

        Raises:
            DataError: the header has no such encoding space.
        """
        if not 0 <= index < len(self.encodings):
            raise DataError(
                f"data of encoding space {index}, but the MRD header describes "
                f"{len(self.encodings)}; correct encoding_space_ref or the header"
            )
        return self.encodings[index]


def _encoding_info(encoding: Any) -> EncodingInfo:
    acceleration, calibration = (1, 1), CalibrationMode.NO_ACCELERATION
    parallel = encoding.parallelImaging
    if parallel is not None:
        factor = parallel.accelerationFactor
        acceleration = (
            max(1, int(factor.kspace_encoding_step_1)),
            max(1, int(factor.kspace_encoding_step_2)),
        )
        mode = parallel.calibrationMode
        if acceleration != (1, 1) and mode is not None:
            calibration = CalibrationMode(getattr(mode, "value", mode))

    limits, matrix = encoding.encodingLimits, encoding.encodedSpace.matrixSize
    offset = [0, 0]
    trajectory = getattr(encoding.trajectory, "value", encoding.trajectory)
    if trajectory in {"cartesian", "epi"}:
        if limits.kspace_encoding_step_1 is not None:
            offset[0] = matrix.y // 2 - limits.kspace_encoding_step_1.center
        if limits.kspace_encoding_step_2 is not None and matrix.z > 1:
            offset[1] = matrix.z // 2 - limits.kspace_encoding_step_2.center

    counts = {}
    for name in ("set", "repetition", "phase", "contrast", "slice"):
        limit = getattr(limits, name)
        counts[name] = 1 + (limit.maximum if limit is not None else 0)
    return EncodingInfo(acceleration, calibration, (offset[0], offset[1]), counts)


def _scan_attributes(header: ismrmrdHeader) -> dict[str, str]:
    measurement = header.measurementInformation
    measurement_id = (measurement.measurementID or "") if measurement else ""
    # measurementID is <device>_<patient>_<study>_<measurement> on the scanners' converters.
    parts = measurement_id.split("_", 3)
    device, patient = (parts[0], parts[1]) if len(parts) > 2 else ("", "")
    if len(parts) == 2:
        device = parts[0]
    study, number = (parts[2], parts[3]) if len(parts) > 3 else ("", "")
    position = measurement.patientPosition if measurement else None
    return {
        "measurementID": measurement_id,
        "protocolName": (measurement.protocolName if measurement else None) or "Unknown",
        "patientID": patient,
        "studyID": study,
        "measurementNumber": number,
        "deviceID": device,
        "patient_position": str(getattr(position, "value", position) or ""),
    }


def image_array_from(
    bit: ReconBit, data: np.ndarray, scan: ScanInfo | Context, *, encoding: int = 0
) -> ImageArray:
    """An image array with headers and attributes computed from the acquisitions.

    Args:
        bit: what `data` was reconstructed from.
        data: complex64, (LOC, S, N, CHA, z, y, x).
        scan: facts of the MRD header, or the gadget's context.
        encoding: number of the encoding space.

    Returns:
        The array; its header holds image index `n + s N + loc N S` and series 0, which
        `numbered` replaces.
    """
    info = scan if isinstance(scan, ScanInfo) else ScanInfo.of(scan.header)
    headers, meta = _image_headers(bit.data, data.shape, info, encoding)
    return ImageArray(data, headers, meta, acquisition_headers=bit.data.headers)


def numbered(
    array: ImageArray, scan: ScanInfo | Context, *, encoding: int, series: int, role: DataRole
) -> ImageArray:
    """The array as it is sent out: image numbers, series, type, role and comments set.

    Headers and attributes are copied, so that one set can be sent in several roles.
    """
    info = scan if isinstance(scan, ScanInfo) else ScanInfo.of(scan.header)
    locations, sets, repeats, channels, slices = array.data.shape[:5]
    headers = array.headers[:locations, :sets, :repeats].copy()
    _, all_sets, all_repeats = array.headers.shape
    # A map averaged over N or S has fewer images than there are headers: the first ones.
    index = np.arange(array.headers.size).reshape(-1, all_sets, all_repeats)
    meta = [array.meta[i].copy() for i in index[:locations, :sets, :repeats].ravel()]

    headers["image_index"] = _image_numbers(
        headers, info.encoding(encoding).counts, max(channels, 1) * max(slices, 1)
    )
    headers["image_series_index"] = series
    headers["image_type"] = ImageType.MAGNITUDE
    for number, one in zip(headers["image_index"].ravel().tolist(), meta, strict=True):
        one.put("GADGETRON_ImageNumber", number)
        one.put("GADGETRON_ImageProcessingHistory", "GT")
        if role is DataRole.IMAGE:
            one.add("GADGETRON_ImageComment", "GT")
            one.add("GADGETRON_SeqDescription", "_GT")
        else:
            one.add("GADGETRON_ImageComment", role.value)
            one.add("GADGETRON_SeqDescription", role.value)
        one.put("GADGETRON_DataRole", role.value)
        if role is DataRole.GFACTOR:
            one.put(SKIP_PROCESSING, 1)
    return replace(array, headers=headers, meta=meta)


def _image_numbers(headers: np.ndarray, counts: dict[str, int], stride: int) -> np.ndarray:
    number = headers["average"].astype(np.int64)
    for name in ("repetition", "set", "phase", "contrast", "slice"):
        number = number * counts[name] + headers[name]
    return (number * stride + 1).astype(np.uint16)


def _image_headers(
    buffered: DataBuffered, shape: tuple[int, ...], info: ScanInfo, encoding: int
) -> tuple[np.ndarray, list[Meta]]:
    acquisitions = buffered.headers
    locations, sets, repeats, channels, depth, height, width = shape
    if acquisitions.shape[:3] != (locations, sets, repeats):
        raise DataError(
            f"images (LOC, S, N) {shape[:3]} do not fit the acquisition headers "
            f"{acquisitions.shape[:3]} they were reconstructed from"
        )
    headers = np.zeros((locations, sets, repeats), IMAGE_HEADER)
    meta: list[Meta] = []
    offset = info.encoding(encoding).offset
    for index in np.ndindex(locations, sets, repeats):
        lines = acquisitions[index].ravel()
        lines = lines[lines["number_of_samples"] > 0]
        if len(lines):
            headers[index] = _header_of(_central(lines, offset, (height, depth)))
        headers[index]["matrix_size"] = (width, height, depth)
        headers[index]["field_of_view"] = buffered.sampling.recon_fov
        headers[index]["channels"] = channels
        meta.append(_attributes_of(headers[index], lines, buffered, info, encoding))
    index_shape = (locations, sets, repeats)
    headers["data_type"] = ImageDataType.CXFLOAT
    headers["image_type"] = ImageType.MAGNITUDE
    headers["image_index"] = np.arange(headers.size, dtype=np.uint16).reshape(index_shape)
    return headers, meta


def _central(lines: np.ndarray, offset: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The acquisition nearest to the centre of k-space.

    The original's scan over E1 and E2 does not find it in 3D (it asks that both distances
    shrink at once); in 2D this is the same line.
    """
    distance = np.abs(
        lines["idx"]["kspace_encode_step_1"].astype(np.int64) + offset[0] - size[0] // 2
    )
    if size[1] > 1:
        step_2 = lines["idx"]["kspace_encode_step_2"].astype(np.int64)
        distance = distance**2 + (step_2 + offset[1] - size[1] // 2) ** 2
    return lines[int(np.argmin(distance))]


_SAME_IN_BOTH = (
    "version",
    "measurement_uid",
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
    "patient_table_position",
    "acquisition_time_stamp",
    "physiology_time_stamp",
    "user_int",
    "user_float",
)


def _header_of(acquisition: np.ndarray) -> np.ndarray:
    header = np.zeros((), IMAGE_HEADER)
    for name in _SAME_IN_BOTH:
        header[name] = acquisition[name]
    for name in ("average", "slice", "contrast", "phase", "repetition", "set"):
        header[name] = acquisition["idx"][name]
    return header


def _attributes_of(
    header: np.ndarray, lines: np.ndarray, buffered: DataBuffered, info: ScanInfo, encoding: int
) -> Meta:
    sampling = buffered.sampling
    meta = Meta()
    meta.put("encoding", encoding)
    meta.put("encoding_FOV", *map(float, sampling.encoded_fov))
    meta.put("recon_FOV", *map(float, sampling.recon_fov))
    meta.put("encoded_matrix", *map(int, sampling.encoded_matrix))
    meta.put("recon_matrix", *map(int, sampling.recon_matrix))
    for name, limit in zip(("RO", "E1", "E2"), sampling.limits, strict=True):
        meta.put(f"sampling_limits_{name}", limit.minimum, limit.center, limit.maximum)
    # The original files the image's position under this name.
    meta.put("PatientPosition", *header["position"].tolist())
    for name in ("read_dir", "phase_dir", "slice_dir", "patient_table_position"):
        meta.put(name, *header[name].tolist())
    meta.put("acquisition_time_stamp", int(header["acquisition_time_stamp"]))
    meta.put("physiology_time_stamp", *header["physiology_time_stamp"].tolist())

    timed = lines[lines["acquisition_time_stamp"] > 0]
    if len(timed):
        stamps, physiology = timed["acquisition_time_stamp"], timed["physiology_time_stamp"]
        meta.put("acquisition_time_range", int(stamps.min()), int(stamps.max()))
        ranges = np.stack([physiology.min(axis=0), physiology.max(axis=0)], axis=1)
        meta.put("physiology_time_range", *ranges.ravel().tolist())
    else:
        meta.put("acquisition_time_range", _NO_TIME, 0)
        meta.put("physiology_time_range", *((_NO_TIME, 0) * 3))
    for i, value in enumerate(header["user_int"].tolist()):
        meta.put(f"user_int_{i}", value)
    for i, value in enumerate(header["user_float"].tolist()):
        # The original writes whole numbers here; a value that has none is written as 0.
        meta.put(f"user_float_{i}", int(value) if np.isfinite(value) else 0)
    meta.put("gadgetron_sha1", f"elastron-{__version__}")
    for name, value in info.attributes.items():
        meta.put(name, value)
    return meta


def sampled_lines(buffered: DataBuffered) -> np.ndarray:
    """Where an acquisition was filed; bool, (LOC, S, N, E2, E1)."""
    return buffered.headers["number_of_samples"] > 0


def slices_of(buffered: DataBuffered) -> tuple[int, ...]:
    """The slice number of each location; 0 where nothing was sampled."""
    numbers = buffered.headers["idx"]["slice"]
    return tuple(numbers.reshape(len(numbers), -1).max(axis=1).tolist())


def snr_scaling(buffered: DataBuffered) -> tuple[float, float]:
    """Effective acceleration and SNR scaling factor of sorted k-space; see `recon.snr`.

    Lines count as sampled if an acquisition was filed there.
    """
    sampled = sampled_lines(buffered)[0]
    readout = buffered.data.shape[-1]
    first, last = buffered.sampling.limits[0].minimum, buffered.sampling.limits[0].maximum
    span = last - first + 1
    if not (first < readout and last < readout and span < readout):
        span = readout
    return snr.snr_scaling(sampled.size, int(sampled.sum()), readout, span)


class GenericReconGadget(Gadget[P]):
    """Base of the gadgets that turn `ReconData` into image arrays."""

    properties_type: ClassVar[type[Properties]] = GenericReconProperties

    def __init__(self, properties: P, context: Context) -> None:
        super().__init__(properties, context)
        self.scan = ScanInfo.of(context.header)

    def image_array(self, bit: ReconBit, data: np.ndarray, encoding: int) -> ImageArray:
        """See `image_array_from`."""
        return image_array_from(bit, data, self.scan, encoding=encoding)

    def numbered(self, array: ImageArray, encoding: int, series: int, role: DataRole) -> ImageArray:
        """See `numbered`."""
        return numbered(array, self.scan, encoding=encoding, series=series, role=role)


__all__ = [
    "SKIP_PROCESSING",
    "CalibrationMode",
    "DataRole",
    "EncodingInfo",
    "GenericReconGadget",
    "GenericReconProperties",
    "ScanInfo",
    "image_array_from",
    "numbered",
    "sampled_lines",
    "slices_of",
    "snr_scaling",
]
