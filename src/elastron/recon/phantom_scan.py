"""A whole simulated scan of the Shepp-Logan phantom: MRD header and acquisitions.

Readouts come in the order of a scanner: noise readouts, separate calibration, then for each
repetition every slice (or, in three dimensions, every partition) line by line.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ismrmrd import xsd

from elastron.errors import DataError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag
from elastron.recon.fft import fft
from elastron.recon.phantom import (
    SHEPP_LOGAN,
    NoiseSource,
    coil_sensitivities,
    noise_covariance,
    rasterize,
    relative_coordinates,
)

#: The time stamps' unit.
TICK_MS = 2.5
_START_TICKS = 17_280_000  # 12:00, half a day of ticks
_SAMPLE_TIME_US = 5.0
_REPETITION_TIME_MS = 10.0
#: Outermost slices of a stack lie here, relative to half the field of view; not symmetric, as
#: the phantom is, so that no two slices look the same.
_STACK = (-0.6, 0.3)


class Calibration(enum.Enum):
    """Where the calibration data of an accelerated scan comes from."""

    NONE = "none"
    EMBEDDED = "embedded"  # centre lines acquired in full within each image
    SEPARATE = "separate"  # centre lines acquired once, before the images
    INTERLEAVED = "interleaved"  # the sampled lines move on from repetition to repetition


@dataclass(frozen=True, slots=True)
class PhantomSettings:
    """What to simulate.

    Attributes:
        matrix: image pixels along x and y.
        partitions: image pixels along z; more than 1 makes a three-dimensional scan.
        coils: receiver channels.
        slices: of a two-dimensional scan.
        repetitions: of the whole scan.
        acceleration: along y and z; every such line is sampled.
        calibration: see `Calibration`; ignored without acceleration.
        calibration_lines: in the centre, along y (and z, where there are so many). With
            interleaved calibration 0 marks every line as calibration data.
        noise_readouts: noise-only readouts at the start; 0 for none.
        oversampling: of the readout.
        partial_fourier: share of the lines along y that is acquired, above 0.5; the first
            lines are left out.
        noise_level: standard deviation of the real, and of the imaginary, part of a sample.
        noise_correlation: of neighbouring coils, 0 … below 1.
        field_of_view_mm: along x and y.
        slice_thickness_mm: of a slice or partition; slices lie 1.2 thicknesses apart.
        seed: of the noise.

    Raises:
        DataError: a value is out of range, or values contradict each other.
    """

    matrix: int = 256
    partitions: int = 1
    coils: int = 8
    slices: int = 1
    repetitions: int = 1
    acceleration: tuple[int, int] = (1, 1)
    calibration: Calibration = Calibration.EMBEDDED
    calibration_lines: int = 24
    noise_readouts: int = 0
    oversampling: int = 2
    partial_fourier: float = 1.0
    noise_level: float = 0.05
    noise_correlation: float = 0.0
    field_of_view_mm: float = 300.0
    slice_thickness_mm: float = 6.0
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "matrix": (self.matrix, 8, 4096),
            "partitions": (self.partitions, 1, 1024),
            "coils": (self.coils, 1, 1024),
            "slices": (self.slices, 1, 1024),
            "repetitions": (self.repetitions, 1, 65535),
            "acceleration along y": (self.acceleration[0], 1, self.matrix // 2),
            "acceleration along z": (self.acceleration[1], 1, max(1, self.partitions // 2)),
            "calibration_lines": (self.calibration_lines, 0, 4096),
            "noise_readouts": (self.noise_readouts, 0, 65535),
            "oversampling": (self.oversampling, 1, 8),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise DataError(f"phantom: {name} is {value}; it must lie in {low} … {high}")
        if not 0.5 < self.partial_fourier <= 1:
            raise DataError("phantom: partial_fourier must lie above 0.5, up to 1")
        if not 0 <= self.noise_correlation < 1 or self.noise_level < 0:
            raise DataError("phantom: noise_correlation must lie in 0 … 1, noise_level above 0")
        if self.partitions > 1 and self.slices > 1:
            raise DataError("phantom: a scan has slices or partitions, not both")
        if self.calibrated and self.calibration_lines // 2 > self.matrix // 2 - self.first_line:
            raise DataError("phantom: calibration_lines reach beyond the lines that are acquired")

    @property
    def calibrated(self) -> bool:
        """There is acceleration, and calibration data with it."""
        return max(self.acceleration) > 1 and self.calibration is not Calibration.NONE

    @property
    def first_line(self) -> int:
        """First line along y that is acquired."""
        return self.matrix - round(self.partial_fourier * self.matrix)


def phantom_images(settings: PhantomSettings) -> np.ndarray:
    """The truth: what a perfect reconstruction with root-sum-of-squares intensity gives.

    Returns:
        float32, shape (slices, partitions, y, x).
    """
    n = settings.matrix
    if settings.partitions > 1:
        maps = coil_sensitivities(settings.coils, (settings.partitions, n, n))
        weight = np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
        return (_objects(settings) * weight)[None]
    maps = coil_sensitivities(settings.coils, n)
    return (_objects(settings) * np.sqrt(np.sum(np.abs(maps) ** 2, axis=0)))[:, None]


def phantom_acquisitions(
    settings: PhantomSettings,
) -> tuple[xsd.ismrmrdHeader, Iterator[AcquisitionBatch]]:
    """Simulate a scan.

    Returns:
        The MRD header, and the acquisitions in wire order: one batch of noise readouts, one of
        separate calibration for each slice or partition, one for each slice or partition of
        each repetition. They are computed as they are drawn.
    """
    return _header(settings), _Scan(settings).batches()


def _objects(settings: PhantomSettings) -> np.ndarray:
    """The phantom's slices or partitions; float32, (slices or partitions, y, x)."""
    plane = relative_coordinates(settings.matrix)
    if settings.partitions > 1:
        z = relative_coordinates(settings.partitions)
    elif settings.slices > 1:
        z = np.linspace(*_STACK, settings.slices)
    else:
        z = np.zeros(1)
    return rasterize(SHEPP_LOGAN, z, plane, plane)


class _Scan:
    """The acquisitions of one simulated scan."""

    def __init__(self, settings: PhantomSettings) -> None:
        self.settings = settings
        covariance = noise_covariance(
            settings.coils, settings.noise_level, settings.noise_correlation
        )
        self.noise = NoiseSource(covariance, settings.seed)
        self.objects = _objects(settings)
        n = settings.matrix
        shape = (settings.partitions, n, n) if settings.partitions > 1 else (n, n)
        self.maps = coil_sensitivities(settings.coils, shape)
        # Transformed along z and y, not yet along the readout: (coils, z, y, x).
        self.volume: np.ndarray | None = None
        if settings.partitions > 1:
            self.volume = fft(self.maps * self.objects, (-3, -2))
        self.scan_counter = 0

    @property
    def planes(self) -> int:
        """Number of slices, or of partitions."""
        return max(self.settings.slices, self.settings.partitions)

    def batches(self) -> Iterator[AcquisitionBatch]:
        settings = self.settings
        if settings.noise_readouts:
            yield self.noise_batch()
        if settings.calibrated and settings.calibration is Calibration.SEPARATE:
            for plane in range(self.planes):
                lines = self.calibration_lines(plane)
                if len(lines):
                    flags = np.full(len(lines), AcquisitionFlag.IS_PARALLEL_CALIBRATION.mask)
                    yield self.readouts(0, plane, lines, flags)
        for repetition in range(settings.repetitions):
            yield from self.repetition(repetition)

    def repetition(self, repetition: int) -> Iterator[AcquisitionBatch]:
        settings = self.settings
        sampled = [self.imaging_lines(repetition, plane) for plane in range(self.planes)]
        filled = [plane for plane, (lines, _) in enumerate(sampled) if len(lines)]
        for plane in filled:
            lines, flags = sampled[plane]
            volumetric = settings.partitions > 1
            first = [AcquisitionFlag.FIRST_IN_ENCODE_STEP1]
            last = [AcquisitionFlag.LAST_IN_ENCODE_STEP1]
            if volumetric and plane == filled[0]:
                first.append(AcquisitionFlag.FIRST_IN_ENCODE_STEP2)
            if volumetric and plane == filled[-1]:
                last.append(AcquisitionFlag.LAST_IN_ENCODE_STEP2)
            if not volumetric or plane == filled[0]:
                first.append(AcquisitionFlag.FIRST_IN_SLICE)
            if not volumetric or plane == filled[-1]:
                last.append(AcquisitionFlag.LAST_IN_SLICE)
            if plane == filled[0]:
                first.append(AcquisitionFlag.FIRST_IN_REPETITION)
            if plane == filled[-1]:
                last.append(AcquisitionFlag.LAST_IN_REPETITION)
                if repetition == settings.repetitions - 1:
                    last.append(AcquisitionFlag.LAST_IN_MEASUREMENT)
            for flag in first:
                flags[0] |= flag.mask
            for flag in last:
                flags[-1] |= flag.mask
            yield self.readouts(repetition, plane, lines, flags)

    def calibration_lines(self, plane: int) -> np.ndarray:
        """Fully sampled centre lines of a plane; empty outside the centre along z."""
        settings = self.settings
        half = settings.calibration_lines // 2
        n_z = settings.partitions
        if n_z > 1 and not n_z // 2 - half <= plane < n_z // 2 + half:
            return np.empty(0, np.intp)
        center = settings.matrix // 2
        return np.arange(center - half, center + half)

    def imaging_lines(self, repetition: int, plane: int) -> tuple[np.ndarray, np.ndarray]:
        """Lines of one plane of one repetition, and their calibration flags (uint64)."""
        settings = self.settings
        step_y, step_z = settings.acceleration
        lines = np.arange(settings.first_line, settings.matrix)
        moving = settings.calibration is Calibration.INTERLEAVED
        offset_y = repetition % step_y if moving else 0
        offset_z = repetition // step_y % step_z if moving else 0
        imaging = (lines % step_y == offset_y) & (
            settings.partitions == 1 or plane % step_z == offset_z
        )
        central = np.zeros(len(lines), bool)
        if settings.calibrated and settings.calibration is not Calibration.SEPARATE:
            if moving and settings.calibration_lines == 0:
                central = imaging
            else:
                central = np.isin(lines, self.calibration_lines(plane))
        flags = np.zeros(len(lines), np.uint64)
        flags[central & imaging] = AcquisitionFlag.IS_PARALLEL_CALIBRATION_AND_IMAGING.mask
        flags[central & ~imaging] = AcquisitionFlag.IS_PARALLEL_CALIBRATION.mask
        sampled = imaging | central
        return lines[sampled], flags[sampled]

    def readouts(
        self, repetition: int, plane: int, lines: np.ndarray, flags: np.ndarray
    ) -> AcquisitionBatch:
        settings = self.settings
        if self.volume is None:
            hybrid = fft(self.maps * self.objects[plane], (-2,))[:, lines]
        else:
            hybrid = self.volume[:, plane, lines]
        samples = settings.matrix * settings.oversampling
        # The wider field of view holds nothing but air; the centres n // 2 coincide.
        start = samples // 2 - settings.matrix // 2
        padded = np.zeros((len(lines), settings.coils, samples), np.complex64)
        padded[..., start : start + settings.matrix] = hybrid.transpose(1, 0, 2)
        data = fft(padded, (-1,))
        data += self.noise.draw(len(lines), samples)

        headers = self.headers(len(lines), samples)
        headers["flags"] = flags
        headers["position"][:, 2] = _slice_position_mm(settings, plane)
        headers["read_dir"][:, 0] = 1
        headers["phase_dir"][:, 1] = 1
        headers["slice_dir"][:, 2] = 1
        headers["idx"]["kspace_encode_step_1"] = lines
        headers["idx"]["repetition"] = repetition
        if settings.partitions > 1:
            headers["idx"]["kspace_encode_step_2"] = plane
        else:
            headers["idx"]["slice"] = plane
        return AcquisitionBatch(headers, data)

    def noise_batch(self) -> AcquisitionBatch:
        settings = self.settings
        samples = settings.matrix * settings.oversampling
        headers = self.headers(settings.noise_readouts, samples)
        headers["flags"] = AcquisitionFlag.IS_NOISE_MEASUREMENT.mask
        return AcquisitionBatch(headers, self.noise.draw(settings.noise_readouts, samples))

    def headers(self, n: int, samples: int) -> np.ndarray:
        """What all readouts share; the clock moves on by one repetition time each."""
        headers = np.zeros(n, ACQUISITION_HEADER)
        counters = self.scan_counter + np.arange(n)
        self.scan_counter += n
        headers["version"] = 1
        headers["measurement_uid"] = 1
        headers["scan_counter"] = counters
        headers["acquisition_time_stamp"] = _START_TICKS + counters * round(
            _REPETITION_TIME_MS / TICK_MS
        )
        headers["number_of_samples"] = samples
        headers["available_channels"] = self.settings.coils
        headers["active_channels"] = self.settings.coils
        for word in range(-(-self.settings.coils // 64)):
            bits = min(64, self.settings.coils - 64 * word)
            headers["channel_mask"][:, word] = np.uint64((1 << bits) - 1)
        headers["center_sample"] = samples // 2
        headers["sample_time_us"] = _SAMPLE_TIME_US
        return headers


def _slice_position_mm(settings: PhantomSettings, plane: int) -> float:
    """Of a slice's centre along z; a volume's centre is 0."""
    if settings.partitions > 1:
        return 0.0
    return (plane - (settings.slices - 1) / 2) * 1.2 * settings.slice_thickness_mm


def _header(settings: PhantomSettings) -> xsd.ismrmrdHeader:
    n, n_z = settings.matrix, settings.partitions
    fov, depth = settings.field_of_view_mm, settings.slice_thickness_mm * n_z

    def space(oversampling: int) -> xsd.encodingSpaceType:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=n * oversampling, y=n, z=n_z),
            fieldOfView_mm=xsd.fieldOfViewMm(x=fov * oversampling, y=fov, z=depth),
        )

    def limit(maximum: int = 0, center: int = 0, minimum: int = 0) -> xsd.limitType:
        return xsd.limitType(minimum=minimum, maximum=maximum, center=center)

    encoding = xsd.encodingType(
        encodedSpace=space(settings.oversampling),
        reconSpace=space(1),
        encodingLimits=xsd.encodingLimitsType(
            kspace_encoding_step_1=limit(n - 1, n // 2, settings.first_line),
            kspace_encoding_step_2=limit(n_z - 1, n_z // 2),
            average=limit(),
            slice=limit(settings.slices - 1),
            contrast=limit(),
            phase=limit(),
            repetition=limit(settings.repetitions - 1),
            set=limit(),
            segment=limit(),
        ),
        trajectory=xsd.trajectoryType.CARTESIAN,
    )
    if max(settings.acceleration) > 1:
        mode = "other" if settings.calibration is Calibration.NONE else settings.calibration.value
        encoding.parallelImaging = xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(
                kspace_encoding_step_1=settings.acceleration[0],
                kspace_encoding_step_2=settings.acceleration[1],
            ),
            calibrationMode=xsd.calibrationModeType(mode),
        )
        if settings.calibration is Calibration.INTERLEAVED:
            encoding.parallelImaging.interleavingDimension = (
                xsd.interleavingDimensionType.REPETITION
            )
    return xsd.ismrmrdHeader(
        # Equal settings are the same measurement; the storage needs a subject.
        subjectInformation=xsd.subjectInformationType(patientID="ElastronPhantom"),
        measurementInformation=xsd.measurementInformationType(
            measurementID=str(uuid.uuid5(uuid.NAMESPACE_OID, repr(settings))),
            patientPosition=xsd.patientPositionType.HFS,
            protocolName="Shepp-Logan",
        ),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor="Elastron",
            systemModel="phantom",
            systemFieldStrength_T=1.5,
            # The simulated noise is white over the whole sampled band.
            relativeReceiverNoiseBandwidth=1.0,
            receiverChannels=settings.coils,
            coilLabel=[
                xsd.coilLabelType(coilNumber=i, coilName=f"CH{i:02d}")
                for i in range(settings.coils)
            ],
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000),
        encoding=[encoding],
        sequenceParameters=xsd.sequenceParametersType(
            TR=[_REPETITION_TIME_MS], TE=[4.0], flipAngle_deg=[10.0], sequence_type="Flash"
        ),
    )
