"""Composite items between accumulation and images.

Axes are named after the Gadgetron's, slowest first, so that an array here has the same memory
layout as the original's: data (LOC, S, N, CHA, E2, E1, E0), headers (LOC, S, N, E2, E1).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from elastron.mrd.acquisition import AcquisitionBatch, ReadoutDomain
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import Waveform


@dataclass(frozen=True, slots=True)
class SamplingLimit:
    """First, centre and last encoded index of one axis."""

    minimum: int = 0
    center: int = 0
    maximum: int = 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """What was encoded and what is to be reconstructed; axes x (E0), y (E1), z (E2); mm."""

    encoded_fov: tuple[float, float, float]
    recon_fov: tuple[float, float, float]
    encoded_matrix: tuple[int, int, int]
    recon_matrix: tuple[int, int, int]
    limits: tuple[SamplingLimit, SamplingLimit, SamplingLimit]


@dataclass(slots=True, eq=False)
class DataBuffered:
    """k-space of one reconstruction, sorted; unsampled points are 0.

    Attributes:
        data: complex64, (LOC, S, N, CHA, E2, E1, E0).
        headers: `ACQUISITION_HEADER`, (LOC, S, N, E2, E1); all-zero where nothing was sampled.
        sampling: matrices, fields of view and limits.
        trajectory: float32 (LOC, S, N, E2, E1, E0, dimensions), or None.
        density: float32 (LOC, S, N, E2, E1, E0), or None.
        readout_domain: of `data`'s last axis.
    """

    data: np.ndarray
    headers: np.ndarray
    sampling: Sampling
    trajectory: np.ndarray | None = None
    density: np.ndarray | None = None
    readout_domain: ReadoutDomain = ReadoutDomain.KSPACE


@dataclass(slots=True, eq=False)
class ReconBit:
    """Data of one encoding space, with its calibration data if there is any."""

    data: DataBuffered
    reference: DataBuffered | None = None


@dataclass(slots=True, eq=False)
class ReconData:
    """One bit an encoding space (the Gadgetron's IsmrmrdReconData)."""

    bits: list[ReconBit]


@dataclass(slots=True, eq=False)
class ImageArray:
    """Reconstructed images before they are split (the Gadgetron's IsmrmrdImageArray).

    Attributes:
        data: complex64, (LOC, S, N, CHA, E2, E1, E0) with E2, E1, E0 now z, y, x.
        headers: `IMAGE_HEADER`, (LOC, S, N).
        meta: one per image, in C order of (LOC, S, N).
        waveforms: of the images' time span, or None.
        acquisition_headers: `ACQUISITION_HEADER`, (LOC, S, N, E2, E1), or None.
    """

    data: np.ndarray
    headers: np.ndarray
    meta: list[Meta]
    waveforms: list[Waveform] | None = None
    acquisition_headers: np.ndarray | None = None


#: Counters whose distinct values a bucket records, in their order on the wire.
STATISTICS_COUNTERS = (
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "slice",
    "phase",
    "contrast",
    "repetition",
    "set",
    "segment",
    "average",
)


@dataclass(slots=True, eq=False)
class BucketStatistics:
    """Distinct counter values seen in one encoding space.

    Attributes:
        seen: counter name (one of `STATISTICS_COUNTERS`) -> values.
    """

    seen: dict[str, set[int]] = field(
        default_factory=lambda: {name: set() for name in STATISTICS_COUNTERS}
    )


@dataclass(slots=True, eq=False)
class Bucket:
    """What was accumulated since the last trigger (the Gadgetron's AcquisitionBucket).

    Attributes:
        data: imaging readouts, in order of arrival.
        reference: calibration readouts, in order of arrival.
        data_statistics: one per encoding space.
        reference_statistics: one per encoding space.
        waveforms: those that came since the last trigger.
        growing: more will come; the same object is handed on again, at last with `growing` false.
            Only between gadgets of a chain; who receives it takes its readouts out each time, and
            it has no statistics.
    """

    data: list[AcquisitionBatch] = field(default_factory=list)
    reference: list[AcquisitionBatch] = field(default_factory=list)
    data_statistics: list[BucketStatistics] = field(default_factory=list)
    reference_statistics: list[BucketStatistics] = field(default_factory=list)
    waveforms: list[Waveform] = field(default_factory=list)
    growing: bool = False
