"""The encoder: the right bytes, in few buffers, and none copied without need."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ConfigError, DataError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, ReadoutDomain
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.meta import Meta
from elastron.wire import Decoder, encode, iter_encode, message_nbytes
from elastron.wire.encoder import PIECE_BYTES
from elastron.wire.messages import ConfigName, Message, Text
from elastron.wire.parts import bytes_of

from .strategies import any_message, batches, equal, join


def decoded(stream: bytes) -> list[Message]:
    decoder = Decoder()
    decoder.feed(stream)
    return list(decoder.messages())


def joined(message: Message, **options: object) -> bytes:
    return b"".join(map(bytes, encode(message, **options)))  # type: ignore[arg-type]


@given(any_message)
def test_message_nbytes_is_what_is_sent(item: Message) -> None:
    buffers = encode(item)
    assert message_nbytes(item) == len(b"".join(map(bytes, buffers)))
    assert message_nbytes(item) == sum(map(bytes_of, buffers))


@given(batches(rows_max=20))
def test_a_received_batch_is_sent_as_it_came(batch: AcquisitionBatch) -> None:
    stream = joined(Text("!")) + joined(batch)
    _, received = decoded(stream)
    (buffer,) = encode(received)
    assert bytes(buffer) == joined(batch)
    assert np.shares_memory(np.frombuffer(buffer, np.uint8), received.headers.base)
    for part in (slice(1, None), slice(0, 3), slice(2, 5)):
        assert joined(received.select(part)) == joined(batch.select(part))


@given(batches(rows_max=5))
def test_a_changed_batch_is_sent_as_changed(batch: AcquisitionBatch) -> None:
    (received,) = decoded(joined(batch))
    headers = received.headers.copy()
    headers["idx"]["slice"] = 7
    changed = (
        replace(received, headers=headers),
        replace(received, data=np.zeros_like(received.data)),
        replace(received, data=received.data[:, ::-1]),
        replace(received, data=received.data[:, :1]),
        received.select(slice(None, None, 2)),
        received.select(slice(None, None, -1)),
        received.select(np.zeros(3, int)),
        replace(received, headers=received.headers[::-1]),
    )
    for other in changed:
        expected = AcquisitionBatch(other.headers.copy(), other.data.copy(), other.trajectory)
        assert joined(other) == joined(expected)
        assert sum(map(len, join(decoded(joined(other))))) == len(other)


def test_sizes_and_compression_flags_follow_the_arrays() -> None:
    headers = np.zeros(3, ACQUISITION_HEADER)
    headers["flags"] = (1 << 52) | (1 << 53) | (1 << 18)
    batch = AcquisitionBatch(headers, np.ones((3, 2, 8), np.complex64))
    (received,) = decoded(joined(batch))
    assert (received.data == 1).all()
    assert (received.headers["flags"] == 1 << 18).all()
    assert (headers["flags"] != 1 << 18).all()


@pytest.mark.parametrize("shape", [(4, 64), (16, 256), (1, 1), (128, 2048)])
def test_large_batches_go_in_pieces(shape: tuple[int, int]) -> None:
    row_bytes = 342 + 8 * shape[0] * shape[1]
    n = 3 * PIECE_BYTES // row_bytes + 2
    data = np.random.default_rng(1).standard_normal((n, *shape), np.float32).astype(np.complex64)
    batch = AcquisitionBatch(np.zeros(n, ACQUISITION_HEADER), data)
    pieces = list(iter_encode(batch))
    sizes = [sum(map(bytes_of, piece)) for piece in pieces]
    assert max(sizes) <= max(PIECE_BYTES, row_bytes)
    assert sum(map(len, pieces)) == len(pieces) <= max(5, n)
    stream = b"".join(bytes(buffer) for piece in pieces for buffer in piece)
    assert (join(decoded(stream))[0].data == data).all()


def test_an_empty_batch_is_nothing() -> None:
    batch = AcquisitionBatch(np.zeros(0, ACQUISITION_HEADER), np.zeros((0, 2, 8), np.complex64))
    assert encode(batch) == []
    assert message_nbytes(batch) == 0


def test_pixels_are_not_copied() -> None:
    pixels = np.ones((2, 1, 64, 64), np.float32)
    buffers = encode(Image(np.zeros((), IMAGE_HEADER), pixels))
    assert np.shares_memory(np.frombuffer(buffers[-1], np.float32), pixels)


def test_image_attributes_end_with_a_counted_nul() -> None:
    meta = Meta()
    meta.put("a", 1)
    stream = joined(Image(np.zeros((), IMAGE_HEADER), np.zeros((1, 1, 1, 1), np.uint16), meta))
    xml = meta.to_xml() + b"\0"
    assert stream[2 + 194 : 2 + 198] == struct.pack("<I", len(xml))
    assert stream[200 : 208 + len(xml)] == struct.pack("<Q", len(xml)) + xml
    # Without the NUL, as other writers do it, it reads the same.
    bare = stream[:200] + struct.pack("<Q", len(xml) - 1) + xml[:-1] + stream[208 + len(xml) :]
    assert equal(decoded(bare)[0].meta, decoded(stream)[0].meta)


def test_big_endian_and_strided_pixels() -> None:
    pixels = np.arange(24, dtype=">f4").reshape(1, 2, 3, 4).transpose(0, 3, 2, 1)
    (image,) = decoded(joined(Image(np.zeros((), IMAGE_HEADER), pixels)))
    assert (image.data == pixels).all()
    assert image.header["matrix_size"].tolist() == [2, 3, 4]


@given(batches(), st.integers(8, 31))
def test_compression_is_undone_by_the_decoder(batch: AcquisitionBatch, bits: int) -> None:
    data = np.nan_to_num(batch.data.view(np.float32), nan=0, posinf=1, neginf=-1)
    data = np.clip(data, -1e6, 1e6).view(np.complex64)
    batch = replace(batch, data=data)
    floats = data.view(np.float32)
    received = join(decoded(joined(batch, bits=bits)))
    (back,) = received
    largest = np.abs(floats).reshape(len(batch), -1).max(1, initial=0)
    error = np.abs(back.data.view(np.float32) - floats).reshape(len(batch), -1).max(1, initial=0)
    assert (error <= largest / (1 << (bits - 1)) * 1.1).all()
    assert equal(back.headers, batch.headers)
    assert equal(back.trajectory, batch.trajectory)


def test_a_tolerance_is_kept_and_compresses() -> None:
    rng = np.random.default_rng(2)
    data = rng.standard_normal((20, 4, 512), np.float32).view(np.complex64)
    batch = AcquisitionBatch(np.zeros(20, ACQUISITION_HEADER), data)
    stream = joined(batch, tolerance=1e-3)
    (back,) = join(decoded(stream))
    assert np.abs(back.data.view(np.float32) - data.view(np.float32)).max() <= 1e-3
    assert len(stream) < 0.5 * message_nbytes(batch)
    # Finer than 31 bits can be: sent as it is.
    assert joined(batch, tolerance=1e-30) == joined(batch)


@pytest.mark.parametrize("name", ["x" * 1024, "ä" * 600, "a\0b"])
def test_a_config_name_that_does_not_fit(name: str) -> None:
    with pytest.raises(ConfigError, match="1023"):
        encode(ConfigName(name))


def test_what_mrd_cannot_hold_is_refused() -> None:
    header = np.zeros((), IMAGE_HEADER)
    with pytest.raises(DataError, match="int64"):
        encode(Image(header, np.zeros((1, 1, 1, 1), np.int64)))
    with pytest.raises(DataError, match="shape"):
        encode(Image(header, np.zeros((1, 1, 1), np.float32)))
    batch = AcquisitionBatch(np.zeros(1, ACQUISITION_HEADER), np.zeros((1, 1, 70000), np.complex64))
    with pytest.raises(DataError, match="65535"):
        encode(batch)
    batch = AcquisitionBatch(
        np.zeros(1, ACQUISITION_HEADER),
        np.zeros((1, 1, 7), np.complex64),
        readout_domain=ReadoutDomain.IMAGE,
    )
    with pytest.raises(DataError, match="transformed"):
        encode(batch)
