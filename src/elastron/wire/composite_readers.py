"""Readers of RECONDATA, IMAGE_ARRAY and BUCKET (Gadgetron's core/io/primitives).

optional: one byte, then the value. vector and set: uint64 count, elements. Array: vector of
uint64 axis lengths, fastest first, then elements. Struct: its fields in order, nothing between.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import numpy as np

from elastron.errors import DataError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.buffers import (
    STATISTICS_COUNTERS,
    Bucket,
    BucketStatistics,
    DataBuffered,
    ImageArray,
    ReconBit,
    ReconData,
    Sampling,
    SamplingLimit,
)
from elastron.mrd.image import IMAGE_HEADER
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire.cursor import Cursor, Reader, Reading, Span
from elastron.wire.layout import SAMPLING

_COMPLEX = np.dtype("<c8")
_FLOAT = np.dtype("<f4")
_UINT16 = np.dtype("<u2")
_UINT32 = np.dtype("<u4")
_UINT64 = np.dtype("<u8")

T = TypeVar("T")


def read_recon_data(cursor: Cursor) -> Reading[ReconData]:
    """RECONDATA (1023)."""
    count = yield from _count(cursor, "recon_bits", "encoding spaces")
    parts: list[tuple[_Buffered, _Buffered | None]] = []
    for _ in range(count):
        data = yield from _buffered(cursor)
        reference = yield from _optional(cursor, _buffered)
        parts.append((data, reference))
    return ReconData(
        [
            ReconBit(data.build(cursor), None if reference is None else reference.build(cursor))
            for data, reference in parts
        ]
    )


def read_image_array(cursor: Cursor) -> Reading[ImageArray]:
    """IMAGE_ARRAY (1024)."""
    data = yield from _array(cursor, _COMPLEX, 7)
    headers = yield from _array(cursor, IMAGE_HEADER, 3)
    count = yield from _count(cursor, "images", "attributes")
    meta: list[Meta] = []
    for _ in range(count):
        xml = yield from cursor.bytes64("meta_bytes", "the attributes")
        try:
            meta.append(Meta.from_xml(xml))
        except DataError as error:
            raise cursor.error(str(error)) from error
    waveforms = yield from _optional(cursor, _waveforms)
    acquisitions = yield from _optional(cursor, _header_array)
    return ImageArray(
        data=cursor.view(data),
        headers=cursor.view(headers),
        meta=meta,
        waveforms=waveforms,
        acquisition_headers=None if acquisitions is None else cursor.view(acquisitions),
    )


def read_bucket(cursor: Cursor) -> Reading[Bucket]:
    """BUCKET (1050)."""
    # {count, bytes of headers, samples, trajectories} of data and of reference, bytes of both
    # statistics, {count, bytes of headers, samples} of waveforms. The original reads the counts
    # and goes by the headers for the rest; so do we.
    start = yield from cursor.take(13 * 8)
    sizes = [int(n) for n in cursor.memory[start : cursor.at].view(_UINT64)]
    for position, limit in ((0, "acquisitions"), (4, "acquisitions"), (10, "waveforms")):
        cursor.check(sizes[position], limit, f"number of {limit}")
    data = yield from _readouts(cursor, sizes[0])
    data_statistics = yield from _statistics(cursor)
    reference = yield from _readouts(cursor, sizes[4])
    reference_statistics = yield from _statistics(cursor)
    waveform_headers = yield from cursor.span(WAVEFORM_HEADER, (sizes[10],), "composite_bytes")
    headers = cursor.view(waveform_headers).copy()
    waveforms: list[Waveform] = []
    for header in headers.reshape(-1, 1):
        waveform = yield from _waveform_samples(cursor, header.reshape(()))
        waveforms.append(waveform)
    return Bucket(
        data=_batches(cursor, data),
        reference=_batches(cursor, reference),
        data_statistics=data_statistics,
        reference_statistics=reference_statistics,
        waveforms=waveforms,
    )


def _count(cursor: Cursor, limit: str, what: str) -> Reading[int]:
    count = yield from cursor.uint64()
    cursor.check(count, limit, f"number of {what}")
    return count


def _optional(cursor: Cursor, read: Reader) -> Reading[T | None]:
    present = yield from cursor.uint8()
    return (yield from read(cursor)) if present else None


def _array(cursor: Cursor, dtype: np.dtype, axes: int) -> Reading[Span]:
    """An array of `axes` axes; ones its sender left out (the slowest) are of length 1."""
    count = yield from _count(cursor, "array_dimensions", "array axes")
    start = yield from cursor.take(8 * count)
    shape = [int(n) for n in cursor.memory[start : cursor.at].view(_UINT64)]
    while len(shape) > axes and shape[-1] == 1:
        shape.pop()
    if len(shape) > axes:
        raise cursor.error(f"an array has {len(shape)} axes where {axes} are expected.")
    shape += [1 if shape else 0] * (axes - len(shape))
    return (yield from cursor.span(dtype, tuple(reversed(shape)), "composite_bytes"))


def _header_array(cursor: Cursor) -> Reading[Span]:
    return _array(cursor, ACQUISITION_HEADER, 5)


def _density(cursor: Cursor) -> Reading[Span]:
    return _array(cursor, _FLOAT, 6)


def _trajectory(cursor: Cursor) -> Reading[Span]:
    return _array(cursor, _FLOAT, 7)


class _Buffered:
    """Where the parts of a DataBuffered lie."""

    def __init__(
        self,
        data: Span,
        trajectory: Span | None,
        density: Span | None,
        headers: Span,
        sampling: np.ndarray,
    ) -> None:
        self.data = data
        self.trajectory = trajectory
        self.density = density
        self.headers = headers
        self.sampling = sampling

    def build(self, cursor: Cursor) -> DataBuffered:
        return DataBuffered(
            data=cursor.view(self.data),
            headers=cursor.view(self.headers),
            sampling=_sampling(self.sampling),
            trajectory=None if self.trajectory is None else cursor.view(self.trajectory),
            density=None if self.density is None else cursor.view(self.density),
        )


def _buffered(cursor: Cursor) -> Reading[_Buffered]:
    data = yield from _array(cursor, _COMPLEX, 7)
    trajectory = yield from _optional(cursor, _trajectory)
    density = yield from _optional(cursor, _density)
    headers = yield from _array(cursor, ACQUISITION_HEADER, 5)
    sampling = yield from cursor.scalar(SAMPLING)
    return _Buffered(data, trajectory, density, headers, sampling)


def _sampling(raw: np.ndarray) -> Sampling:
    minimum, center, maximum = 0, 1, 2
    limits = [
        SamplingLimit(int(axis[minimum]), int(axis[center]), int(axis[maximum]))
        for axis in raw["limits"]
    ]
    return Sampling(
        encoded_fov=tuple(raw["encoded_fov"].tolist()),
        recon_fov=tuple(raw["recon_fov"].tolist()),
        encoded_matrix=tuple(raw["encoded_matrix"].tolist()),
        recon_matrix=tuple(raw["recon_matrix"].tolist()),
        limits=(limits[0], limits[1], limits[2]),
    )


def _waveforms(cursor: Cursor) -> Reading[list[Waveform]]:
    count = yield from _count(cursor, "waveforms", "waveforms")
    waveforms: list[Waveform] = []
    for _ in range(count):
        header = yield from cursor.scalar(WAVEFORM_HEADER)
        waveforms.append((yield from _waveform_samples(cursor, header)))
    return waveforms


def _waveform_samples(cursor: Cursor, header: np.ndarray) -> Reading[Waveform]:
    shape = (int(header["channels"]), int(header["number_of_samples"]))
    cursor.check(4 * shape[0] * shape[1], "waveform_bytes", "number of waveform bytes")
    span = yield from cursor.span(_UINT32, shape, "composite_bytes")
    return Waveform(header, cursor.view(span).copy())


def _statistics(cursor: Cursor) -> Reading[list[BucketStatistics]]:
    count = yield from _count(cursor, "recon_bits", "encoding spaces")
    statistics: list[BucketStatistics] = []
    for _ in range(count):
        seen: dict[str, set[int]] = {}
        for name in STATISTICS_COUNTERS:
            length = yield from cursor.uint64()
            if length > 1 << 16:
                raise cursor.error(f"{length} different values of the 16-bit counter {name}.")
            start = yield from cursor.take(2 * length)
            seen[name] = set(cursor.memory[start : cursor.at].view(_UINT16).tolist())
        statistics.append(BucketStatistics(seen))
    return statistics


class _Readouts:
    """Where headers, trajectories and samples of a list of readouts lie; equal ones in runs."""

    def __init__(self, headers: Span) -> None:
        self.headers = headers
        self.slices: list[slice] = []
        self.trajectories: list[Span | None] = []
        self.data: list[Span] = []


def _readouts(cursor: Cursor, count: int) -> Reading[_Readouts]:
    found = _Readouts((yield from cursor.span(ACQUISITION_HEADER, (count,), "composite_bytes")))
    headers = cursor.view(found.headers)
    shapes = np.stack(
        [
            headers["active_channels"],
            headers["number_of_samples"],
            headers["trajectory_dimensions"],
        ]
    ).astype(np.int64)
    cuts = (np.flatnonzero((shapes[:, 1:] != shapes[:, :-1]).any(0)) + 1).tolist()
    edges = [0, *cuts, count] if count else [0]
    runs = [slice(a, b) for a, b in pairwise(edges)]
    sizes = [(run.stop - run.start, *shapes[:, run.start].tolist()) for run in runs]
    for n, _, samples, dimensions in sizes:
        shape = (n, samples, dimensions)
        span = (yield from cursor.span(_FLOAT, shape, "composite_bytes")) if dimensions else None
        found.trajectories.append(span)
    for n, channels, samples, _ in sizes:
        shape = (n, channels, samples)
        found.data.append((yield from cursor.span(_COMPLEX, shape, "composite_bytes")))
    found.slices = runs
    return found


def _batches(cursor: Cursor, found: _Readouts) -> list[AcquisitionBatch]:
    headers = cursor.view(found.headers)
    return [
        AcquisitionBatch(
            headers=headers[run],
            data=cursor.view(data),
            trajectory=None if trajectory is None else cursor.view(trajectory),
        )
        for run, trajectory, data in zip(found.slices, found.trajectories, found.data, strict=True)
    ]
