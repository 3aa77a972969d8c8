"""Writers of RECONDATA, IMAGE_ARRAY and BUCKET; layout as in `composite_readers`."""

from __future__ import annotations

import numpy as np

from elastron.errors import DataError
from elastron.mrd.acquisition import (
    ACQUISITION_HEADER,
    AcquisitionBatch,
    ReadoutDomain,
    written_headers,
)
from elastron.mrd.buffers import (
    STATISTICS_COUNTERS,
    Bucket,
    BucketStatistics,
    DataBuffered,
    ImageArray,
    ReconData,
    Sampling,
)
from elastron.mrd.image import IMAGE_HEADER
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire.layout import SAMPLING
from elastron.wire.messages import MessageId
from elastron.wire.parts import Buffer, Parts

_COMPLEX = np.dtype("<c8")
_FLOAT = np.dtype("<f4")
_UINT16 = np.dtype("<u2")
_UINT32 = np.dtype("<u4")
_PRESENT, _ABSENT = b"\1", b"\0"


def write_recon_data(message: ReconData) -> list[Buffer]:
    """RECONDATA (1023)."""
    parts = Parts(MessageId.RECON_DATA)
    parts.add_uint64(len(message.bits))
    for bit in message.bits:
        _buffered(parts, bit.data)
        if bit.reference is None:
            parts.add(_ABSENT)
        else:
            parts.add(_PRESENT)
            _buffered(parts, bit.reference)
    return parts.buffers()


def write_image_array(message: ImageArray) -> list[Buffer]:
    """IMAGE_ARRAY (1024)."""
    parts = Parts(MessageId.IMAGE_ARRAY)
    parts.add_array(message.data, _COMPLEX)
    parts.add_array(message.headers, IMAGE_HEADER)
    parts.add_uint64(len(message.meta))
    for meta in message.meta:
        xml = meta.to_xml()
        parts.add_uint64(len(xml))
        parts.add(xml)
    if message.waveforms is None:
        parts.add(_ABSENT)
    else:
        parts.add(_PRESENT)
        parts.add_uint64(len(message.waveforms))
        for waveform in message.waveforms:
            parts.add(_waveform_header(waveform))
            parts.add_elements(waveform.data, _UINT32)
    _optional(parts, message.acquisition_headers, ACQUISITION_HEADER)
    return parts.buffers()


def write_bucket(message: Bucket) -> list[Buffer]:
    """BUCKET (1050)."""
    parts = Parts(MessageId.BUCKET)
    data_statistics = _statistics(message.data_statistics)
    reference_statistics = _statistics(message.reference_statistics)
    waveforms = message.waveforms
    parts.add_uint64(
        *_sizes(message.data),
        *_sizes(message.reference),
        len(data_statistics),
        len(reference_statistics),
        len(waveforms),
        len(waveforms) * WAVEFORM_HEADER.itemsize,
        sum(4 * waveform.data.size for waveform in waveforms),
    )
    for batches, statistics in (
        (message.data, data_statistics),
        (message.reference, reference_statistics),
    ):
        for batch in batches:
            parts.add_elements(written_headers(batch), ACQUISITION_HEADER)
        for batch in batches:
            if batch.trajectory is not None:
                parts.add_elements(batch.trajectory, _FLOAT)
        for batch in batches:
            parts.add_elements(batch.data, _COMPLEX)
        parts.add(statistics)
    for waveform in waveforms:
        parts.add(_waveform_header(waveform))
    for waveform in waveforms:
        parts.add_elements(waveform.data, _UINT32)
    return parts.buffers()


def _buffered(parts: Parts, buffered: DataBuffered) -> None:
    if buffered.readout_domain is not ReadoutDomain.KSPACE:
        raise DataError("Data whose readout was Fourier transformed cannot be sent as RECONDATA.")
    parts.add_array(buffered.data, _COMPLEX)
    _optional(parts, buffered.trajectory, _FLOAT)
    _optional(parts, buffered.density, _FLOAT)
    parts.add_array(buffered.headers, ACQUISITION_HEADER)
    parts.add(_sampling(buffered.sampling))


def _optional(parts: Parts, array: np.ndarray | None, dtype: np.dtype) -> None:
    if array is None:
        parts.add(_ABSENT)
    else:
        parts.add(_PRESENT)
        parts.add_array(array, dtype)


def _sampling(sampling: Sampling) -> bytes:
    raw = np.zeros((), SAMPLING)
    raw["encoded_fov"] = sampling.encoded_fov
    raw["recon_fov"] = sampling.recon_fov
    raw["encoded_matrix"] = sampling.encoded_matrix
    raw["recon_matrix"] = sampling.recon_matrix
    raw["limits"] = [(axis.minimum, axis.center, axis.maximum) for axis in sampling.limits]
    return raw.tobytes()


def _waveform_header(waveform: Waveform) -> bytes:
    header = np.zeros((), WAVEFORM_HEADER)
    header[...] = waveform.header
    header["channels"], header["number_of_samples"] = waveform.data.shape
    return header.tobytes()


def _statistics(statistics: list[BucketStatistics]) -> bytes:
    parts = bytearray(len(statistics).to_bytes(8, "little"))
    for space in statistics:
        for name in STATISTICS_COUNTERS:
            values = sorted(space.seen.get(name, ()))
            parts += len(values).to_bytes(8, "little")
            parts += np.array(values, _UINT16).tobytes()
    return bytes(parts)


def _sizes(batches: list[AcquisitionBatch]) -> tuple[int, int, int, int]:
    """Number of readouts, and bytes of their headers, samples and trajectories."""
    count = sum(map(len, batches))
    return (
        count,
        count * ACQUISITION_HEADER.itemsize,
        sum(8 * batch.data.size for batch in batches),
        sum(4 * batch.trajectory.size for batch in batches if batch.trajectory is not None),
    )
