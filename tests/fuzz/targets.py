"""What is fuzzed, and what must hold for any bytes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from elastron.errors import DataError, ElastronError, HeaderError
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.header import parse_header, serialize_header
from elastron.mrd.meta import Meta
from elastron.wire import Decoder, Limits, ServerSession, encode
from elastron.wire.framing import Frame, Framer
from elastron.wire.messages import Message

#: Small, so that no input makes the fuzzer itself run out of memory.
LIMITS = Limits(
    acquisition_bytes=1 << 20, waveform_bytes=1 << 20, image_bytes=1 << 20, composite_bytes=1 << 20
)


def decode(data: bytes, cuts: list[int]) -> tuple[list[Message], type | None]:
    """Messages of `data` fed in pieces, and the kind of error they end with."""
    decoder = Decoder(LIMITS)
    found: list[Message] = []
    try:
        for start, stop in pairwise(sorted({0, len(data), *cuts})):
            decoder.feed(data[start:stop])
            found.extend(decoder.messages())
        decoder.eof()
    except ElastronError as error:
        return found, type(error)
    return found, None


def wire_form(found: list[Message]) -> bytes:
    return b"".join(bytes(buffer) for message in found for buffer in encode(message))


def check_decoder(data: bytes) -> None:
    """Whatever the cuts: the same messages, the same error, and they can be sent again."""
    seed, stream = data[:2], data[2:]
    rng = np.random.default_rng(int.from_bytes(seed, "little"))
    cuts = rng.integers(0, len(stream) + 1, 5).tolist()
    whole, failure = decode(stream, [])
    pieces, other_failure = decode(stream, cuts)
    if failure is not other_failure:
        raise AssertionError(f"{failure} whole, {other_failure} in pieces")
    again = wire_form(whole)
    if wire_form(pieces) != again:
        raise AssertionError("other messages in pieces")
    # What was decoded can be sent, and then reads as the same.
    if wire_form(decode(again, [])[0]) != again:
        raise AssertionError("sent again, it reads differently")
    session = ServerSession()
    try:
        for message in whole:
            session.receive(message)
            if isinstance(message, AcquisitionBatch):
                message.data.sum()
    except ElastronError:
        return


def frames(data: bytes, cuts: list[int]) -> tuple[list[Frame], type | None]:
    """Frames of `data` fed in pieces, and the kind of error they end with."""
    framer = Framer(LIMITS, digests=True)
    found: list[Frame] = []
    try:
        for start, stop in pairwise(sorted({0, len(data), *cuts})):
            framer.feed(data[start:stop])
            found.extend(framer.frames())
        framer.eof()
    except ElastronError as error:
        return found, type(error)
    return found, None


def check_framer(data: bytes) -> None:
    """Whatever the cuts: the same frames; and where the decoder is content, its messages."""
    seed, stream = data[:2], data[2:]
    rng = np.random.default_rng(int.from_bytes(seed, "little"))
    cuts = rng.integers(0, len(stream) + 1, 5).tolist()
    whole = frames(stream, [])
    if frames(stream, cuts) != whole:
        raise AssertionError("other frames in pieces")
    messages, failure = decode(stream, [])
    count = sum(len(each) if isinstance(each, AcquisitionBatch) else 1 for each in messages)
    found, framing_failure = whole
    if failure is None and (framing_failure is not None or len(found) != count):
        raise AssertionError(f"{len(found)} frames, {framing_failure}, of {count} good messages")
    if len(found) < count:
        raise AssertionError(f"{len(found)} frames of {count} messages")


def check_header(data: bytes) -> None:
    """A header or a HeaderError; a header can be written and read again."""
    try:
        header = parse_header(data)
    except HeaderError:
        return
    if parse_header(serialize_header(header)) != header:
        raise AssertionError("written again, it reads differently")


def check_meta(data: bytes) -> None:
    """Attributes or a DataError; attributes can be written and read again."""
    try:
        meta = Meta.from_xml(data)
    except DataError:
        return
    if Meta.from_xml(meta.to_xml()) != meta:
        raise AssertionError("written again, it reads differently")
