"""The decoder: whatever the cuts, the same messages; hostile bytes, a clear error."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.errors import ConnectionLostError, ElastronError, LimitError, ProtocolError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag
from elastron.mrd.image import IMAGE_HEADER, Image, ImageDataType
from elastron.mrd.waveform import Waveform
from elastron.wire import CHUNK_BYTES, Decoder, Limits, encode
from elastron.wire.decoder import (
    EXPECTED_CHUNKS,
    FIRST_BYTES,
    FIRST_CHUNK_BYTES,
    LARGE_CHUNK_BYTES,
)
from elastron.wire.messages import Close, HeaderXml, Message, MessageId, Text

from .strategies import any_message, batches, equal, join


def stream_of(items: list[Message]) -> bytes:
    return b"".join(bytes(buffer) for item in items for buffer in encode(item))


def make_batch(n: int, channels: int = 2, samples: int = 8, dimensions: int = 0):
    headers = np.zeros(n, ACQUISITION_HEADER)
    headers["scan_counter"] = np.arange(n)
    headers["number_of_samples"], headers["active_channels"] = samples, channels
    headers["trajectory_dimensions"] = dimensions
    data = np.arange(n * channels * samples, dtype=np.complex64).reshape(n, channels, samples)
    trajectory = np.ones((n, samples, dimensions), np.float32) if dimensions else None
    return AcquisitionBatch(headers, data, trajectory)


def decode(data: bytes, cuts: list[int] | None = None, *, step: int = 0) -> list[Message]:
    """Messages of `data`, fed in pieces; messages are taken after each."""
    decoder = Decoder()
    edges = sorted({0, len(data), *(cuts or ()), *(range(0, len(data), step) if step else ())})
    found: list[Message] = []
    for start, stop in pairwise(edges):
        decoder.feed(data[start:stop])
        found.extend(decoder.messages())
    decoder.eof()
    return found


@given(st.lists(any_message, max_size=6), st.data())
def test_messages_survive_any_cuts(items: list[Message], data: st.DataObject) -> None:
    stream = stream_of(items)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert equal(join(decode(stream)), join(items))
    assert equal(join(decode(stream, cuts)), join(items))


@settings(max_examples=20)
@given(any_message)
def test_messages_survive_single_bytes(item: Message) -> None:
    assert equal(join(decode(stream_of([item, Text("end")]), step=1)), [item, Text("end")])


@settings(max_examples=40)
@given(any_message, st.data())
def test_a_message_cut_short_is_named(item: Message, data: st.DataObject) -> None:
    stream = stream_of([item])
    if isinstance(item, AcquisitionBatch):
        stream = stream_of([item.select(slice(0, 1))])
    cut = data.draw(st.integers(2, len(stream) - 1))
    decoder = Decoder()
    decoder.feed(stream[:cut])
    assert list(decoder.messages()) == []
    assert decoder.buffered_bytes == cut
    name = MessageId(struct.unpack_from("<H", stream)[0]).name
    with pytest.raises(ConnectionLostError, match=f"middle of {name}.*{cut} bytes"):
        decoder.eof()


def test_end_within_an_id() -> None:
    decoder = Decoder()
    decoder.feed(b"\x04")
    with pytest.raises(ConnectionLostError, match="id"):
        decoder.eof()


def test_a_run_is_one_batch_of_views() -> None:
    batch = make_batch(50, dimensions=2)
    decoder = Decoder()
    buffer = decoder.get_buffer()
    stream = stream_of([Text("odd"), batch, HeaderXml(b"x"), make_batch(3)])
    buffer[: len(stream)] = stream
    decoder.received(len(stream))
    text, first, header, second = decoder.messages()
    assert (text, header) == (Text("odd"), HeaderXml(b"x"))
    assert equal(first, batch)
    assert equal(second, make_batch(3))
    received = np.frombuffer(buffer, np.uint8)
    for array in (first.headers, first.data, first.trajectory):
        assert np.shares_memory(array, received)
        assert not array.flags.writeable


@given(st.lists(batches(rows_max=40), max_size=5))
def test_runs_are_cut_exactly_where_sizes_change(items: list[AcquisitionBatch]) -> None:
    assert equal(join(decode(stream_of(items))), join(items))
    assert len(decode(stream_of(items))) == len(join(items))


@pytest.mark.parametrize("length", [1, 2, 12, 13, 76, 77, 78, 400])
@pytest.mark.parametrize("what", ["id", "samples", "channels", "dimensions", "flag"])
def test_a_run_ends_before_any_difference(length: int, what: str) -> None:
    # Rows of one length: what follows differs from the run in one field only.
    run = make_batch(length, channels=1, samples=4, dimensions=2)
    other = {
        "id": HeaderXml(bytes(len(stream_of([run])) // length - 6)),
        "samples": make_batch(1, channels=2, samples=3, dimensions=0),
        "channels": make_batch(1, channels=2, samples=4, dimensions=0),
        "dimensions": make_batch(1, channels=0, samples=4, dimensions=4),
        "flag": make_batch(1, channels=1, samples=4, dimensions=2),
    }[what]
    tail = stream_of([other])
    if what == "flag":
        tail = b"".join(map(bytes, encode(make_batch(1, 1, 4), bits=5)))
    found = decode(stream_of([run]) + tail + stream_of([make_batch(300, 1, 1)]))
    assert equal(found[0], run)
    assert isinstance(found[1], HeaderXml) if what == "id" else len(found[1]) == 1
    assert len(found) == 3


def test_small_readouts_come_by_the_hundreds() -> None:
    batch = make_batch(2000, channels=4, samples=64)
    found = decode(stream_of([batch]))
    assert len(found) == 1 + len(stream_of([batch])) // FIRST_CHUNK_BYTES
    assert equal(join(found), [batch])


def test_runs_of_a_long_scan_are_longer() -> None:
    batch = make_batch(10_000, channels=4, samples=64)
    message_bytes = len(stream_of([batch])) // len(batch)
    lengths, received = [], 0
    for run in decode(stream_of([batch])):
        assert isinstance(run, AcquisitionBatch)
        chunk_bytes = FIRST_CHUNK_BYTES if received < FIRST_BYTES else CHUNK_BYTES
        lengths.append(len(run))
        assert len(run) <= chunk_bytes // message_bytes + 1
        received += len(run) * message_bytes
    assert received > FIRST_BYTES + 3 * CHUNK_BYTES
    assert lengths[-2] >= CHUNK_BYTES // message_bytes - 1


@pytest.mark.parametrize(
    ("expected", "chunk_bytes"),
    [
        (FIRST_BYTES, FIRST_CHUNK_BYTES),  # no more than comes into small ones
        (2 * FIRST_BYTES, 2 << 20),
        (EXPECTED_CHUNKS * (3 << 20), 4 << 20),  # whole huge pages
        (1 << 62, LARGE_CHUNK_BYTES),
    ],
)
def test_runs_of_a_scan_known_to_be_long_are_longer_from_the_start(
    expected: int, chunk_bytes: int
) -> None:
    batch = make_batch(8000, channels=4, samples=64)
    message_bytes = len(stream_of([batch])) // len(batch)
    decoder = Decoder()
    decoder.expect(expected)
    stream = memoryview(stream_of([batch]))[: FIRST_CHUNK_BYTES + 2 * chunk_bytes]
    found = []
    while stream:
        view = decoder.get_buffer()
        count = min(len(view), len(stream))
        view[:count] = stream[:count]
        decoder.received(count)
        stream = stream[count:]
        found += decoder.messages()
    first, second = (len(run) * message_bytes for run in found[:2])
    assert first == pytest.approx(FIRST_CHUNK_BYTES, abs=message_bytes)
    assert second == pytest.approx(chunk_bytes, abs=message_bytes)


def test_large_readouts_are_not_received_singly() -> None:
    batch = make_batch(8, channels=64, samples=1000)
    found = decode(stream_of([batch]))
    assert equal(join(found), [batch])
    assert len(found) == 2 + len(stream_of([batch])) // CHUNK_BYTES


def test_what_is_there_is_delivered_at_once() -> None:
    decoder = Decoder()
    stream = stream_of([make_batch(2)])
    decoder.feed(stream[: len(stream) // 2 + 1])
    assert [len(batch) for batch in decoder.messages()] == [1]
    decoder.feed(stream[len(stream) // 2 + 1 :])
    assert [len(batch) for batch in decoder.messages()] == [1]


@pytest.mark.parametrize("size", [600, 1000, 1500])
def test_messages_larger_than_a_chunk(size: int) -> None:
    image = Image(
        np.zeros((), IMAGE_HEADER),
        np.arange(size * size, dtype=np.float32).reshape(1, 1, size, size),
    )
    stream = stream_of([make_batch(3), image, image, make_batch(3), Close()])
    for step in (60_001, len(stream)):
        first, a, b, last, close = decode(stream, step=step)
        assert equal(a.data, image.data)
        assert equal(b.data, image.data)
        assert equal(first, last)
        assert close == Close()


def test_batches_keep_their_values_while_more_is_received() -> None:
    batch = make_batch(4000, channels=4, samples=64)
    stream = stream_of([batch])
    decoder = Decoder()
    kept = []
    for start in range(0, len(stream), 100_000):
        decoder.feed(stream[start : start + 100_000])
        kept.extend(decoder.messages())
    assert equal(join(kept), [batch])


def test_memory_without_views_is_used_again() -> None:
    stream = stream_of([make_batch(3000, channels=4, samples=64)])
    decoder = Decoder()
    addresses = set()
    for start in range(0, len(stream), 100_000):
        decoder.feed(stream[start : start + 100_000])
        for batch in decoder.messages():
            addresses.add(batch.data.base.__array_interface__["data"][0])
    assert len(stream) // FIRST_CHUNK_BYTES >= 3
    assert len(addresses) <= 3


def test_unread_messages_do_not_stop_the_reception() -> None:
    items = [make_batch(20, channels=4, samples=500), Text("x")] * 30
    decoder = Decoder()
    decoder.feed(stream_of(items))
    assert equal(join(list(decoder.messages())), join(items))


def test_compressed_runs_are_one_batch() -> None:
    batch = make_batch(7, channels=3, samples=16, dimensions=2)
    stream = b"".join(map(bytes, encode(batch, bits=24)))
    found = decode(stream, step=700)
    whole = decode(stream)
    assert len(whole) == 1
    for result in (join(found)[0], whole[0]):
        assert np.abs(result.data - batch.data).max() <= np.abs(batch.data).max() / 2**23
        assert equal(result.headers, batch.headers)
        assert equal(result.trajectory, batch.trajectory)


def test_nothing_is_read_after_close() -> None:
    decoder = Decoder()
    decoder.feed(stream_of([Text("a"), Close()]) + b"\xff" * 10)
    assert list(decoder.messages()) == [Text("a"), Close()]
    assert decoder.closed
    decoder.feed(b"\xff" * (3 * CHUNK_BYTES))
    assert list(decoder.messages()) == []
    decoder.eof()


def test_an_unknown_id_is_named_after_the_messages_before_it() -> None:
    decoder = Decoder()
    decoder.feed(stream_of([Text("a"), make_batch(2)]) + struct.pack("<H", 4711))
    messages = decoder.messages()
    assert next(messages) == Text("a")
    assert len(next(messages)) == 2
    for _ in range(2):
        with pytest.raises(ProtocolError, match="4711"):
            list(decoder.messages())
        decoder.feed(bytes(100))
    decoder.eof()


def _acquisition(samples: int, channels: int, dimensions: int = 0, flags: int = 0) -> bytes:
    header = np.zeros((), ACQUISITION_HEADER)
    header["number_of_samples"], header["active_channels"] = samples, channels
    header["trajectory_dimensions"], header["flags"] = dimensions, flags
    return struct.pack("<H", 1008) + header.tobytes()


def _image(channels: int, size: tuple[int, int, int]) -> bytes:
    header = np.zeros((), IMAGE_HEADER)
    header["channels"], header["matrix_size"] = channels, size
    header["data_type"] = ImageDataType.CXDOUBLE
    return struct.pack("<H", 1022) + header.tobytes()


def _waveform(channels: int, samples: int) -> bytes:
    header = bytearray(40)
    struct.pack_into("<HH", header, 28, samples, channels)
    return struct.pack("<H", 1026) + bytes(header)


_MANY = 2**64 - 1
_ABSURD = {
    "config": (struct.pack("<HI", 2, 2**32 - 1), "CONFIG", "config_bytes"),
    "header": (struct.pack("<HI", 3, 2**32 - 1), "HEADER", "header_bytes"),
    "text": (struct.pack("<HI", 5, 2**32 - 1), "TEXT", "text_bytes"),
    "query": (struct.pack("<HQQQ", 6, 0, 1, _MANY), "QUERY", "query_bytes"),
    "response": (struct.pack("<HQQ", 7, 1, _MANY), "RESPONSE", "response_bytes"),
    "error": (struct.pack("<HQ", 8, _MANY), "ERROR", "text_bytes"),
    "samples": (_acquisition(65535, 65535), "ACQUISITION", "acquisition_bytes"),
    "trajectory": (_acquisition(65535, 1, 65535), "ACQUISITION", "acquisition_bytes"),
    "compressed": (
        _acquisition(1, 1, 0, int(AcquisitionFlag.COMPRESSION2.mask))
        + struct.pack("<I", 2**32 - 1),
        "ACQUISITION",
        "acquisition_bytes",
    ),
    "decompressed": (
        _acquisition(65535, 65535, 0, int(AcquisitionFlag.COMPRESSION2.mask)),
        "ACQUISITION",
        "acquisition_bytes",
    ),
    "dicom": (struct.pack("<HI", 1018, 2**32 - 1), "DICOM_WITHNAME", "dicom_bytes"),
    "file name": (struct.pack("<HIQ", 1018, 0, _MANY), "DICOM_WITHNAME", "filename_bytes"),
    "dicom meta": (struct.pack("<HIQQ", 1018, 0, 0, _MANY), "DICOM_WITHNAME", "meta_bytes"),
    "dependency": (struct.pack("<HQ", 1019, _MANY), "DEPENDENCY_QUERY", "meta_bytes"),
    "pixels": (_image(65535, (65535, 65535, 65535)), "IMAGE", "image_bytes"),
    "meta": (_image(1, (1, 1, 1)) + struct.pack("<Q", _MANY), "IMAGE", "meta_bytes"),
    "waveform": (_waveform(65535, 65535), "WAVEFORM", "waveform_bytes"),
    "bits": (struct.pack("<HQ", 1023, _MANY), "RECON_DATA", "recon_bits"),
    "axes": (struct.pack("<HQQ", 1023, 1, _MANY), "RECON_DATA", "array_dimensions"),
    "elements": (struct.pack("<HQQ7Q", 1023, 1, 7, *[_MANY] * 7), "RECON_DATA", "composite_bytes"),
    "hidden": (struct.pack("<HQ7Q", 1024, 7, 0, *[2**20] * 6), "IMAGE_ARRAY", "composite_bytes"),
    "array": (struct.pack("<HQ7Q", 1024, 7, *[2**20] * 7), "IMAGE_ARRAY", "composite_bytes"),
    "metas": (
        struct.pack("<HQ7QQ3QQ", 1024, 7, *[0] * 7, 3, *[0] * 3, _MANY),
        "IMAGE_ARRAY",
        "images",
    ),
    "bucket": (struct.pack("<H13Q", 1050, _MANY, *[0] * 12), "BUCKET", "acquisitions"),
    "reference": (struct.pack("<H13Q", 1050, *[0] * 4, _MANY, *[0] * 8), "BUCKET", "acquisitions"),
    "waveforms": (struct.pack("<H13Q", 1050, *[0] * 10, _MANY, 0, 0), "BUCKET", "waveforms"),
    "statistics": (struct.pack("<H13QQ", 1050, *[0] * 13, _MANY), "BUCKET", "recon_bits"),
}


@pytest.mark.parametrize("case", _ABSURD)
def test_absurd_lengths_are_refused_before_allocation(case: str) -> None:
    stream, message, limit = _ABSURD[case]
    decoder = Decoder()
    decoder.feed(stream)
    number = getattr(Limits(), limit)
    with pytest.raises(LimitError, match=rf"{message} .*is \d+.*{number} .*Limits\.{limit}\b"):
        list(decoder.messages())
    assert len(decoder.get_buffer()) <= CHUNK_BYTES


def test_every_limit_has_such_a_case() -> None:
    assert {limit for _, _, limit in _ABSURD.values()} == set(Limits.__slots__)


def test_announced_bytes_are_not_allocated_before_they_come() -> None:
    decoder = Decoder()
    decoder.feed(_image(1, (1 << 10, 1 << 10, 60)) + struct.pack("<Q", 0))
    assert list(decoder.messages()) == []
    assert len(decoder.get_buffer()) <= 64 << 20


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (struct.pack("<H2xH194x", 1022, 9), "data type"),
        (_image(1, (0, 0, 0)) + struct.pack("<Q", 5) + b"<xml>", "ISMRMRD meta XML"),
        (struct.pack("<HQ", 1019, 14) + b"<!DOCTYPE a><a", "DTD"),
        (struct.pack("<HQQ8Q", 1023, 1, 8, *[2] * 8), "8 axes"),
        (struct.pack("<H13QQQ", 1050, *[0] * 13, 1, 1 << 17), "kspace_encode_step_1"),
        (_acquisition(2, 1, 0, 1 << 53) + struct.pack("<I", 3) + b"abc", "3 bytes long"),
        (_acquisition(2, 1, 0, 1 << 53) + struct.pack("<IQfB", 13, 5, 1, 8), "holds? 5 floats"),
        (_acquisition(2, 1, 0, 1 << 53) + struct.pack("<IQfB", 13, 4, 1, 0), "0 bits"),
        (_acquisition(2, 1, 0, 1 << 53) + struct.pack("<IQfB", 13, 4, 1, 8), "4 bytes, but 0"),
    ],
)
def test_contradictions_are_protocol_errors(stream: bytes, text: str) -> None:
    decoder = Decoder()
    decoder.feed(stream)
    with pytest.raises(ProtocolError, match=text):
        list(decoder.messages())


@settings(max_examples=300)
@given(st.binary(max_size=400), st.sampled_from(MessageId), st.booleans())
def test_garbage_raises_nothing_else(garbage: bytes, first: MessageId, known: bool) -> None:
    decoder = Decoder()
    decoder.feed((struct.pack("<H", first) if known else b"") + garbage)
    with suppress(ElastronError):
        for _ in decoder.messages():
            pass
        decoder.eof()


@given(any_message, st.integers(0, 2000), st.integers(0, 255))
def test_a_wrong_byte_raises_nothing_else(item: Message, where: int, value: int) -> None:
    stream = bytearray(stream_of([item, Text("end")]))
    stream[where % len(stream)] = value
    with suppress(ElastronError):
        decode(bytes(stream))


def test_received_more_than_the_buffer_holds() -> None:
    decoder = Decoder()
    with pytest.raises(ValueError, match="less room"):
        decoder.received(len(decoder.get_buffer()) + 1)


def test_small_things_do_not_hold_a_receive_buffer() -> None:
    header = bytearray(40)
    struct.pack_into("<HH", header, 28, 3, 1)
    decoder = Decoder()
    decoder.feed(struct.pack("<H", 1026) + bytes(header) + bytes(12))
    (waveform,) = decoder.messages()
    assert isinstance(waveform, Waveform)
    assert waveform.data.flags.owndata
