"""The framer: the decoder's boundaries and refusals, without decoding."""

from __future__ import annotations

import struct
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.errors import ConnectionLostError, ElastronError, LimitError, ProtocolError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire import Decoder, Limits, encode
from elastron.wire.framing import Frame, Framer
from elastron.wire.messages import (
    Close,
    ConfigName,
    DicomWithName,
    HeaderXml,
    Message,
    MessageId,
    Response,
    Text,
)

from .strategies import any_message, batches
from .test_decoder import _ABSURD, _acquisition, _image, make_batch, stream_of


def frame(
    data: bytes,
    cuts: list[int] | None = None,
    *,
    digests: bool = False,
    limits: Limits | None = None,
) -> tuple[list[Frame], Framer, ElastronError | None]:
    """Frames of `data`, fed in pieces, and the error after them."""
    framer = Framer(limits, digests=digests)
    found: list[Frame] = []
    error = None
    for start, stop in pairwise(sorted({0, len(data), *(cuts or ())})):
        framer.feed(data[start:stop])
        try:
            found.extend(framer.frames())
        except ElastronError as raised:
            error = raised
    return found, framer, error


def expected(items: list[Message]) -> list[tuple[int, int]]:
    """(id, length) of every message, one a readout."""
    found: list[tuple[int, int]] = []
    for item in items:
        count = len(item) if isinstance(item, AcquisitionBatch) else 1
        data = stream_of([item])
        found += [(struct.unpack_from("<H", data)[0], len(data) // count)] * count
    return found


def singles(frames: list[Frame]) -> list[tuple[int, int]]:
    return [
        (each.message_id, each.length // each.count) for each in frames for _ in range(each.count)
    ]


def contiguous(frames: list[Frame]) -> bool:
    stops = list(accumulate((each.length for each in frames), initial=0))
    return [each.start for each in frames] == stops[:-1] and [
        each.stop for each in frames
    ] == stops[1:]


@given(st.lists(any_message, max_size=6), st.data())
def test_boundaries_are_those_of_the_encoder_whatever_the_cuts(
    items: list[Message], data: st.DataObject
) -> None:
    stream = stream_of(items)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    for digests in (False, True):
        found, framer, error = frame(stream, cuts, digests=digests)
        assert error is None
        assert singles(found) == expected(items)
        assert contiguous(found)
        assert framer.whole == framer.received == len(stream)
        framer.eof()


@settings(max_examples=20)
@given(any_message)
def test_boundaries_survive_single_bytes(item: Message) -> None:
    stream = stream_of([item, Text("end")])
    whole, _, _ = frame(stream, digests=True)
    bytewise, _, _ = frame(stream, list(range(len(stream))), digests=True)
    assert whole == bytewise
    assert singles(whole) == expected([item, Text("end")])


@given(st.lists(batches(rows_max=40), max_size=5), st.data())
def test_runs_are_cut_exactly_where_sizes_change(
    items: list[AcquisitionBatch], data: st.DataObject
) -> None:
    stream = stream_of(items)
    found, _, _ = frame(stream)
    assert singles(found) == expected(items)
    lengths = [length for _, length in expected(items)]
    assert len(found) <= 1 + sum(a != b for a, b in pairwise(lengths)) + len(items)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert singles(frame(stream, cuts)[0]) == expected(items)


def test_a_run_is_one_frame() -> None:
    run = make_batch(300, dimensions=2)
    stream = stream_of([Text("odd"), run, HeaderXml(b"x"), Close()])
    found, framer, _ = frame(stream)
    assert [each.count for each in found] == [1, 300, 1, 1]
    assert framer.closed


@pytest.mark.parametrize("how", [{"bits": 12}, {"tolerance": 0.5}])
def test_compressed_acquisitions(how: dict[str, float]) -> None:
    batch = make_batch(20, channels=3, samples=64, dimensions=2)
    pieces = [bytes(buffer) for buffer in encode(batch, **how)]  # type: ignore[arg-type]
    stream = b"".join(pieces) + stream_of([Close()])
    for cuts in ([], [100, 1000, 1001], list(range(0, len(stream), 7))):
        found, framer, error = frame(stream, cuts)
        assert error is None
        assert sum(each.count for each in found if each.message_id == 1008) == 20
        assert framer.closed


def test_strange_but_legal() -> None:
    """What no scanner sends, and yet is no error: nothing in a message, or nothing of its data."""
    nothing = np.zeros((1, 1, 1, 0), np.float32)
    items: list[Message] = [
        Text(""),
        ConfigName(""),
        HeaderXml(b""),
        make_batch(3, channels=0, samples=0),
        make_batch(3, channels=5, samples=0),
        make_batch(3, channels=0, samples=7, dimensions=3),
        Image(np.zeros((), IMAGE_HEADER), nothing),
        DicomWithName(b"", "", b""),
        Response("", 2**64 - 1),
        Close(),
    ]
    stream = stream_of(items)
    for cuts in ([], list(range(len(stream)))):
        found, framer, error = frame(stream, cuts)
        assert error is None
        assert singles(found) == expected(items)
        assert framer.closed


def test_an_array_with_more_axes_than_expected_of_length_one() -> None:
    axes = struct.pack("<Q9Q", 9, *[1] * 9)
    none = struct.pack("<Q", 0)
    data = axes + bytes(8)
    bit = data + b"\0\0" + none + bytes(56) + b"\0"
    stream = struct.pack("<HQ", MessageId.RECON_DATA, 1) + bit
    found, _, error = frame(stream)
    decoder = Decoder()
    decoder.feed(stream)
    assert error is None
    assert len(list(decoder.messages())) == len(found) == 1
    assert found[0].length == len(stream)


def test_nothing_is_read_after_close() -> None:
    stream = stream_of([Text("a"), Close()])
    found, framer, error = frame(stream + b"\xff" * 1000)
    assert [each.message_id for each in found] == [5, 4]
    assert error is None
    assert framer.whole == len(stream)
    framer.feed(b"\xff" * 10)
    assert list(framer.frames()) == []
    framer.eof()


# What is no message: the decoder's refusal, at the decoder's place.


def refusal(stream: bytes, cuts: list[int]) -> tuple[int, ElastronError | None]:
    """As the decoder sees a stream: messages before its error, and that."""
    decoder = Decoder()
    found: list[Message] = []
    for start, stop in pairwise(sorted({0, len(stream), *cuts})):
        decoder.feed(stream[start:stop])
        try:
            found.extend(decoder.messages())
        except ElastronError as error:
            return _count(found), error
    try:
        decoder.eof()
    except ConnectionLostError as error:
        return _count(found), error
    return _count(found), None


def _count(items: list[Message]) -> int:
    return sum(len(item) if isinstance(item, AcquisitionBatch) else 1 for item in items)


#: Refusals that only decoding can tell; the framer takes such a message for whole.
_OF_CONTENT = ("XML", "DTD", "compressed samples", "zfpy", "entit")


def check_same_refusal(stream: bytes, cuts: list[int]) -> None:
    before, decoder_error = refusal(stream, cuts)
    found, framer, error = frame(stream, cuts)
    if error is None:
        try:
            framer.eof()
        except ConnectionLostError as raised:
            error = raised
    if decoder_error is not None and any(word in str(decoder_error) for word in _OF_CONTENT):
        assert len(singles(found)) >= before
        return
    if isinstance(decoder_error, ConnectionLostError) and isinstance(error, LimitError):
        # All sizes of a bucket are known before its data: refused before that has come.
        assert "BUCKET" in str(error)
        assert len(singles(found)) == before
        return
    assert type(error) is type(decoder_error)
    assert len(singles(found)) == before
    if isinstance(error, ProtocolError) and "BUCKET" not in str(error):
        assert str(error) == str(decoder_error)


@settings(max_examples=300)
@given(st.lists(any_message, min_size=1, max_size=3), st.data())
def test_wrong_bytes_are_refused_where_the_decoder_refuses_them(
    items: list[Message], data: st.DataObject
) -> None:
    stream = bytearray(stream_of([*items, Text("end")]))
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=4))
    check_same_refusal(bytes(stream), cuts)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.sampled_from(MessageId), st.booleans())
def test_garbage_is_refused_where_the_decoder_refuses_it(
    garbage: bytes, first: MessageId, known: bool
) -> None:
    check_same_refusal((struct.pack("<H", first) if known else b"") + garbage, [])


@settings(max_examples=40)
@given(any_message, st.data())
def test_a_message_cut_short_is_named(item: Message, data: st.DataObject) -> None:
    stream = stream_of([item])
    if isinstance(item, AcquisitionBatch):
        stream = stream_of([item.select(slice(0, 1))])
    cut = data.draw(st.integers(2, len(stream) - 1))
    found, framer, error = frame(stream[:cut])
    assert (found, error) == ([], None)
    assert framer.whole == 0
    assert framer.received == cut
    name = MessageId(struct.unpack_from("<H", stream)[0])
    assert framer.message_id == name
    with pytest.raises(ConnectionLostError, match=rf"middle of {name.name} .*: {cut} bytes"):
        framer.eof()


def test_end_within_an_id() -> None:
    framer = Framer()
    framer.feed(b"\x04")
    assert framer.message_id is None
    with pytest.raises(ConnectionLostError, match="id"):
        framer.eof()


@pytest.mark.parametrize("case", _ABSURD)
def test_absurd_lengths_are_refused_in_the_decoders_words(case: str) -> None:
    stream, *_ = _ABSURD[case]
    decoder = Decoder()
    decoder.feed(stream)
    with pytest.raises(LimitError) as refused:
        list(decoder.messages())
    _, framer, error = frame(stream)
    assert isinstance(error, LimitError)
    assert str(error) == str(refused.value)
    assert framer.failed
    framer.feed(bytes(100))
    with pytest.raises(LimitError):
        list(framer.frames())
    framer.eof()


def test_a_large_acquisition_in_one_piece_has_its_limit() -> None:
    stream = stream_of([make_batch(3, channels=4, samples=64)])
    _, _, error = frame(stream, limits=Limits(acquisition_bytes=2047))
    assert isinstance(error, LimitError)
    assert "acquisition_bytes" in str(error)
    assert frame(stream, limits=Limits(acquisition_bytes=2048))[2] is None


def test_large_messages_are_passed_over_as_they_come() -> None:
    framer = Framer()
    framer.feed(_image(1, (1 << 10, 1 << 10, 60)) + struct.pack("<Q", 0))
    piece = bytes(1 << 20)
    for _ in range(60 * 16):
        assert list(framer.frames()) == []
        framer.feed(piece)
    (image,) = framer.frames()
    assert image.length == framer.whole == 2 + 198 + 8 + (60 * 16 << 20)


def test_a_bucket_with_headers_on_the_way_holds_few_of_them() -> None:
    count = 100_000
    header = _acquisition(4, 2)[2:]
    sizes = [0] * 13
    sizes[0] = count
    framer = Framer()
    framer.feed(struct.pack("<H13Q", 1050, *sizes))
    for _ in range(count // 1000):
        framer.feed(header * 1000)
        assert len(framer._carry) < 100 * len(header)
    framer.feed(bytes(count * 64 + 8 + 8))
    assert [each.message_id for each in framer.frames()] == [1050]


# Digests: what tells a message from another.


def digests_of(*items: Message) -> list[tuple[int, int]]:
    found, _, error = frame(stream_of(list(items)), digests=True)
    assert error is None
    return [(each.identity, each.content) for each in found]


@settings(max_examples=50)
@given(st.lists(any_message, min_size=1, max_size=4), st.data())
def test_digests_do_not_depend_on_cuts(items: list[Message], data: st.DataObject) -> None:
    stream = stream_of(items)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert frame(stream, cuts, digests=True)[0] == frame(stream, digests=True)[0]


@given(st.lists(st.integers(0, 1 << 17), max_size=8))
def test_digests_of_large_payloads_do_not_depend_on_cuts(cuts: list[int]) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((1, 1, 128, 256)).astype(np.float32)
    stream = stream_of([Image(np.zeros((), IMAGE_HEADER), pixels)])
    whole = frame(stream, digests=True)[0]
    assert frame(stream, [cut % len(stream) for cut in cuts], digests=True)[0] == whole


def image(index: int, value: float = 0, meta: str = "") -> Image:
    header = np.zeros((), IMAGE_HEADER)
    header["image_index"] = index
    attributes = Meta({"time": [meta]}) if meta else Meta()
    return Image(header, np.full((1, 1, 64, 64), value, np.float32), attributes)


def test_an_image_is_known_by_its_header() -> None:
    a, b, other_pixels, later = digests_of(
        image(1), image(2), image(1, 3), image(1, meta="12:00:01.5")
    )
    assert a[0] != b[0]
    assert a[0] == other_pixels[0] == later[0]
    assert a[1] == b[1] != other_pixels[1]


def test_a_text_is_known_by_its_words_and_a_response_by_its_question() -> None:
    a, b = digests_of(Text("abc"), Text("abd"))
    assert a[0] != b[0]
    a, b, c = digests_of(Response("1", 7), Response("2", 7), Response("1", 8))
    assert a[0] == b[0] != c[0]


def test_a_dicom_file_is_known_by_its_name() -> None:
    a, b, c = digests_of(
        DicomWithName(b"uid 1", "a.dcm"), DicomWithName(b"uid 2", "a.dcm"), DicomWithName(b"", "b")
    )
    assert a[0] == b[0] != c[0]


def test_the_padding_of_a_waveform_header_tells_nothing() -> None:
    waveform = Waveform(np.zeros((), WAVEFORM_HEADER), np.zeros((1, 2), np.uint32))
    plain = stream_of([waveform])
    dirty = bytearray(plain)
    dirty[2 + 3] = 0xAA  # between version and flags
    (a,), (b,) = frame(plain, digests=True)[0], frame(bytes(dirty), digests=True)[0]
    assert a == b


def test_every_readout_has_its_own_frame_with_digests() -> None:
    found = digests_of(make_batch(50))
    assert len(found) == 50
    assert len({identity for identity, _ in found}) == 50


def test_compressed_flag_is_seen_within_a_run() -> None:
    plain = stream_of([make_batch(20, channels=1, samples=4)])
    header = np.zeros((), ACQUISITION_HEADER)
    header["number_of_samples"], header["active_channels"] = 4, 1
    header["flags"] = AcquisitionFlag.COMPRESSION2.mask
    body = struct.pack("<QfB", 8, 1, 8) + bytes(8)
    packed = struct.pack("<H", 1008) + header.tobytes() + struct.pack("<I", len(body)) + body
    found, _, error = frame(plain + packed + plain)
    assert error is None
    assert [each.count for each in found] == [20, 1, 20]
