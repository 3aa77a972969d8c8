"""Composite messages against their layout, written out by hand."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from elastron.errors import DataError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, ReadoutDomain
from elastron.mrd.buffers import (
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
from elastron.wire import Decoder, encode

from .strategies import equal

RNG = np.random.default_rng(5)
LIMITS = (SamplingLimit(1, 2, 3), SamplingLimit(4, 5, 6), SamplingLimit(7, 8, 9))
SAMPLING = Sampling((1.5, 2, 3), (4, 5, 6), (10, 11, 12), (13, 14, 15), LIMITS)


def u64(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def complex_array(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(np.complex64)


def headers(*shape: int) -> np.ndarray:
    array = np.zeros(shape, ACQUISITION_HEADER)
    array["scan_counter"] = np.arange(array.size).reshape(shape)
    return array


def check(message: object, expected: bytes) -> None:
    assert b"".join(map(bytes, encode(message))) == expected  # type: ignore[arg-type]
    decoder = Decoder()
    decoder.feed(expected)
    (found,) = decoder.messages()
    assert equal(found, message)


def test_recon_data() -> None:
    # LOC, S, N, CHA, E2, E1, E0 here is E0 first there.
    data, trajectory = complex_array(1, 1, 2, 3, 1, 5, 4), RNG.random((1, 1, 2, 1, 5, 4, 2))
    trajectory = trajectory.astype(np.float32)
    density = trajectory[..., 0].copy()
    reference = complex_array(1, 1, 1, 1, 1, 2, 4)
    full = DataBuffered(data, headers(1, 1, 2, 1, 5), SAMPLING, trajectory, density)
    plain = DataBuffered(reference, headers(1, 1, 1, 1, 2), SAMPLING)
    sampling = struct.pack("<6f6H9H2x", 1.5, 2, 3, 4, 5, 6, *range(10, 16), *range(1, 10))
    assert len(sampling) == 56
    full_bytes = (
        u64(7, 4, 5, 1, 3, 2, 1, 1)
        + data.tobytes()
        + b"\1"
        + u64(7, 2, 4, 5, 1, 2, 1, 1)
        + trajectory.tobytes()
        + b"\1"
        + u64(6, 4, 5, 1, 2, 1, 1)
        + density.tobytes()
        + u64(5, 5, 1, 2, 1, 1)
        + full.headers.tobytes()
        + sampling
    )
    plain_bytes = (
        u64(7, 4, 2, 1, 1, 1, 1, 1)
        + reference.tobytes()
        + b"\0\0"
        + u64(5, 2, 1, 1, 1, 1)
        + plain.headers.tobytes()
        + sampling
    )
    check(
        ReconData([ReconBit(full, plain), ReconBit(plain)]),
        struct.pack("<H", 1023) + u64(2) + full_bytes + b"\1" + plain_bytes + plain_bytes + b"\0",
    )


def waveform() -> Waveform:
    header = np.zeros((), WAVEFORM_HEADER)
    header["channels"], header["number_of_samples"], header["waveform_id"] = 2, 3, 9
    return Waveform(header, np.arange(6, dtype=np.uint32).reshape(2, 3))


def waveform_header() -> bytes:
    return struct.pack("<H6xQIIIHHfH2x", 0, 0, 0, 0, 0, 3, 2, 0, 9)


def test_image_array() -> None:
    data = complex_array(1, 2, 1, 2, 1, 3, 4)
    image_headers = np.zeros((1, 2, 1), IMAGE_HEADER)
    image_headers["image_index"][0, :, 0] = [1, 2]
    meta = Meta()
    meta.put("a", "b")
    xml = meta.to_xml()
    acquisitions = headers(1, 2, 1, 1, 3)
    prefix = (
        struct.pack("<H", 1024)
        + u64(7, 4, 3, 1, 2, 1, 2, 1)
        + data.tobytes()
        + u64(3, 1, 2, 1)
        + image_headers.tobytes()
        + u64(2, len(xml))
        + xml
        + u64(0)
    )
    check(ImageArray(data, image_headers, [meta, Meta()]), prefix + b"\0\0")
    check(
        ImageArray(data, image_headers, [meta, Meta()], [waveform()], acquisitions),
        prefix
        + b"\1"
        + u64(1)
        + waveform_header()
        + waveform().data.tobytes()
        + b"\1"
        + u64(5, 3, 1, 1, 2, 1)
        + acquisitions.tobytes(),
    )


def batch(n: int, channels: int, samples: int, dimensions: int) -> AcquisitionBatch:
    head = headers(n)
    head["active_channels"], head["number_of_samples"] = channels, samples
    head["trajectory_dimensions"] = dimensions
    trajectory = RNG.random((n, samples, dimensions)).astype(np.float32) if dimensions else None
    return AcquisitionBatch(head, complex_array(n, channels, samples), trajectory)


def test_bucket() -> None:
    first, second, calibration = batch(3, 2, 4, 0), batch(2, 1, 5, 2), batch(1, 2, 4, 0)
    seen = BucketStatistics()
    seen.seen["kspace_encode_step_1"] |= {300, 2, 7}
    seen.seen["average"] |= {1}
    statistics = u64(1) + u64(3) + struct.pack("<3H", 2, 7, 300) + u64(*[0] * 7)
    statistics += u64(1) + struct.pack("<H", 1)
    reference_statistics = u64(0)
    expected = (
        struct.pack("<H", 1050)
        + u64(5, 5 * 340, 8 * (3 * 2 * 4 + 2 * 5), 4 * 2 * 5 * 2)
        + u64(1, 340, 8 * 8, 0)
        + u64(len(statistics), len(reference_statistics))
        + u64(1, 40, 24)
        + first.headers.tobytes()
        + second.headers.tobytes()
        + second.trajectory.tobytes()
        + first.data.tobytes()
        + second.data.tobytes()
        + statistics
        + calibration.headers.tobytes()
        + calibration.data.tobytes()
        + reference_statistics
        + waveform_header()
        + waveform().data.tobytes()
    )
    check(Bucket([first, second], [calibration], [seen], [], [waveform()]), expected)


def test_axes_left_out_or_added_by_the_sender_are_of_length_one() -> None:
    data, head = complex_array(1, 1, 1, 1, 1, 3, 2), headers(1, 1, 1, 1, 3)
    message = (
        struct.pack("<H", 1023)
        + u64(1)
        + u64(2, 2, 3)
        + data.tobytes()
        + b"\0\0"
        + u64(7, 3, 1, 1, 1, 1, 1, 1)
        + head.tobytes()
        + bytes(56)
        + b"\0"
    )
    decoder = Decoder()
    decoder.feed(message)
    (found,) = decoder.messages()
    assert found.bits[0].data.data.shape == (1, 1, 1, 1, 1, 3, 2)
    assert found.bits[0].data.headers.shape == (1, 1, 1, 1, 3)


def test_large_arrays_are_not_copied() -> None:
    data = complex_array(1, 1, 1, 8, 1, 64, 64)
    message = ReconData([ReconBit(DataBuffered(data, headers(1, 1, 1, 1, 64), SAMPLING))])
    buffers = encode(message)
    assert any(np.shares_memory(np.frombuffer(b, np.uint8), data) for b in buffers)
    decoder = Decoder()
    decoder.feed(b"".join(map(bytes, buffers)))
    (found,) = decoder.messages()
    assert not found.bits[0].data.data.flags.owndata


def test_transformed_readouts_are_not_sent() -> None:
    buffered = DataBuffered(
        complex_array(1, 1, 1, 1, 1, 1, 1),
        headers(1, 1, 1, 1, 1),
        SAMPLING,
        readout_domain=ReadoutDomain.IMAGE,
    )
    with pytest.raises(DataError, match="transformed"):
        encode(ReconData([ReconBit(buffered)]))
