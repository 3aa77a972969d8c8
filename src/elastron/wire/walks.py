"""Walks: the way through a message of each kind, field by field, to its last byte.

A walk is a generator that reads like blocking code, as the decoder's readers; but it sees only
the fields that tell lengths, and passes over the rest. What readers check of lengths, limits and
structure is checked here in the same order and words; what only decoding can tell (attributes
that are no XML, compressed samples that contradict themselves) is left to who decodes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import numpy as np

from elastron.mrd.acquisition import ACQUISITION_HEADER
from elastron.mrd.buffers import STATISTICS_COUNTERS
from elastron.mrd.image import IMAGE_HEADER, ImageDataType
from elastron.mrd.waveform import WAVEFORM_HEADER
from elastron.wire.cursor import Bounds
from elastron.wire.layout import (
    FILENAME_BYTES,
    SAMPLING,
    UINT32,
    UINT64,
    acquisition_body_bytes,
)
from elastron.wire.limits import Limits
from elastron.wire.messages import MessageId
from elastron.wire.runs import COMPRESSED, check_acquisition

T = TypeVar("T")
#: Yields n > 0 to be sent the next n bytes, n < 0 to pass over -n bytes.
Walking = Generator[int, bytes, T]

#: Readout and waveform headers of a BUCKET looked at together: what is carried over the end of
#: a chunk stays small.
_HEADERS_AT_ONCE = 64
_UINT64 = np.dtype("<u8")
#: As `ACQUISITION_SIZES`, from the first byte of the header.
_ACQUISITION_SIZES = struct.Struct("<2xQ24xHHH136xH")
_COMPLEX_BYTES = 8
_FLOAT_BYTES = 4
_UINT32_BYTES = 4


class Walk(Bounds):
    """A position in a message of which only some fields are seen.

    Attributes:
        at: next byte, counted from the message's id.
        identity: fields that make this message different from others of its kind; gathered only
            if asked for, as texts and names are then taken instead of passed over.
    """

    __slots__ = ("at", "identity")

    def __init__(self, message_id: int, limits: Limits, *, identify: bool = False) -> None:
        super().__init__(message_id, limits)
        self.at = 2
        self.identity: bytearray | None = bytearray() if identify else None

    def identify(self, field: bytes) -> None:
        """This field tells the message from others."""
        if self.identity is not None:
            self.identity += field

    def take(self, count: int) -> Walking[bytes]:
        """The next `count` bytes."""
        self.at += count
        return (yield count) if count else b""

    def skip(self, count: int) -> Walking[None]:
        """Pass over `count` bytes."""
        self.at += count
        if count:
            yield -count

    def name_bytes(self, count: int) -> Walking[None]:
        """Pass over a text or name that tells the message from others."""
        if self.identity is None:
            yield from self.skip(count)
        else:
            self.identify((yield from self.take(count)))

    def uint8(self) -> Walking[int]:
        """One byte."""
        return (yield from self.take(1))[0]

    def uint32(self) -> Walking[int]:
        """A 32-bit number."""
        return UINT32.unpack((yield from self.take(4)))[0]

    def uint64(self) -> Walking[int]:
        """A 64-bit number."""
        return UINT64.unpack((yield from self.take(8)))[0]

    def length32(self, limit: str, field: str) -> Walking[int]:
        """The length of a field that a uint32 announces."""
        count = yield from self.uint32()
        self.check(count, limit, f"length of {field}")
        return count

    def length64(self, limit: str, field: str) -> Walking[int]:
        """The length of a field that a uint64 announces."""
        count = yield from self.uint64()
        self.check(count, limit, f"length of {field}")
        return count

    def count(self, limit: str, what: str) -> Walking[int]:
        """How many of something follow."""
        count = yield from self.uint64()
        self.check(count, limit, f"number of {what}")
        return count

    def elements(self, itemsize: int, shape: list[int]) -> Walking[None]:
        """Pass over an array within a composite, as `Cursor.span`."""
        size = itemsize * math.prod(shape)
        largest = itemsize * math.prod(max(length, 1) for length in shape)
        self.check(max(self.at + size, largest), "composite_bytes", "number of bytes")
        yield from self.skip(size)


def _filename(walk: Walk) -> Walking[None]:
    yield from walk.name_bytes(FILENAME_BYTES)


def _config(walk: Walk) -> Walking[None]:
    yield from walk.name_bytes((yield from walk.length32("config_bytes", "the config")))


def _header(walk: Walk) -> Walking[None]:
    yield from walk.name_bytes((yield from walk.length32("header_bytes", "the header")))


def _close(walk: Walk) -> Walking[None]:
    yield from walk.skip(0)


def _text(walk: Walk) -> Walking[None]:
    yield from walk.name_bytes((yield from walk.length32("text_bytes", "the text")))


def _query(walk: Walk) -> Walking[None]:
    walk.identify((yield from walk.take(16)))
    yield from walk.name_bytes((yield from walk.length64("query_bytes", "the query")))


def _response(walk: Walk) -> Walking[None]:
    # The answer may have changed since; the question is the same.
    walk.identify((yield from walk.take(8)))
    yield from walk.skip((yield from walk.length64("response_bytes", "the response")))


def _error(walk: Walk) -> Walking[None]:
    yield from walk.name_bytes((yield from walk.length64("text_bytes", "the text")))


def _acquisition(walk: Walk) -> Walking[None]:
    raw = yield from walk.take(ACQUISITION_HEADER.itemsize)
    walk.identify(raw)
    flags, samples, _, channels, dimensions = _ACQUISITION_SIZES.unpack_from(raw)
    if not flags & COMPRESSED:
        check_acquisition(walk, channels, samples, dimensions)
        yield from walk.skip(acquisition_body_bytes(channels, samples, dimensions))
        return
    body_bytes = acquisition_body_bytes(channels, samples, dimensions)
    walk.check(body_bytes, "acquisition_bytes", "number of bytes, uncompressed,")
    yield from walk.skip(_FLOAT_BYTES * samples * dimensions)
    count = yield from walk.uint32()
    walk.check(count, "acquisition_bytes", "number of compressed bytes")
    yield from walk.skip(count)


def _waveform(walk: Walk) -> Walking[None]:
    header = np.frombuffer((yield from walk.take(WAVEFORM_HEADER.itemsize)), WAVEFORM_HEADER)[0]
    for name in WAVEFORM_HEADER.names or ():  # what lies between the fields may be anything
        walk.identify(header[name].tobytes())
    size = _UINT32_BYTES * int(header["channels"]) * int(header["number_of_samples"])
    walk.check(size, "waveform_bytes", "number of sample bytes")
    yield from walk.skip(size)


def _image(walk: Walk) -> Walking[None]:
    raw = yield from walk.take(IMAGE_HEADER.itemsize)
    # Without the length of the attributes: they may hold a time of day.
    walk.identify(raw[: IMAGE_HEADER.fields["attribute_string_len"][1]])  # type: ignore[index]
    header = np.frombuffer(raw, IMAGE_HEADER)[0]
    try:
        dtype = ImageDataType(int(header["data_type"])).dtype
    except ValueError:
        raise walk.error(
            f"data type {int(header['data_type'])} is unknown; 1 (ushort) to 8 (cxdouble) are."
        ) from None
    x, y, z = (int(size) for size in header["matrix_size"])
    shape = (int(header["channels"]), z, y, x)
    pixel_bytes = dtype.itemsize * math.prod(shape)
    walk.check(pixel_bytes, "image_bytes", f"number of pixel bytes of shape {shape}")
    yield from walk.skip((yield from walk.length64("meta_bytes", "the attributes")))
    yield from walk.skip(pixel_bytes)


def _dicom(walk: Walk) -> Walking[None]:
    yield from walk.skip((yield from walk.length32("dicom_bytes", "the DICOM file")))
    yield from walk.name_bytes((yield from walk.length64("filename_bytes", "the file name")))
    yield from walk.skip((yield from walk.length64("meta_bytes", "the attributes")))


def _dependency_query(walk: Walk) -> Walking[None]:
    yield from walk.skip((yield from walk.length64("meta_bytes", "the attributes")))


# Composites; layout as in elastron.wire.composite_readers.


def _array(walk: Walk, itemsize: int, axes: int) -> Walking[None]:
    count = yield from walk.count("array_dimensions", "array axes")
    raw = yield from walk.take(8 * count)
    walk.identify(raw)
    shape = [int(length) for length in np.frombuffer(raw, _UINT64)]
    while len(shape) > axes and shape[-1] == 1:
        shape.pop()
    if len(shape) > axes:
        raise walk.error(f"an array has {len(shape)} axes where {axes} are expected.")
    yield from walk.elements(itemsize, shape or [0])


def _optional(walk: Walk, go: Callable[..., Walking[None]], *arguments: Any) -> Walking[None]:
    if (yield from walk.uint8()):
        yield from go(walk, *arguments)


def _buffered(walk: Walk) -> Walking[None]:
    yield from _array(walk, _COMPLEX_BYTES, 7)
    yield from _optional(walk, _array, _FLOAT_BYTES, 7)
    yield from _optional(walk, _array, _FLOAT_BYTES, 6)
    yield from _array(walk, ACQUISITION_HEADER.itemsize, 5)
    yield from walk.skip(SAMPLING.itemsize)


def _recon_data(walk: Walk) -> Walking[None]:
    for _ in range((yield from walk.count("recon_bits", "encoding spaces"))):
        yield from _buffered(walk)
        yield from _optional(walk, _buffered)


def _image_array(walk: Walk) -> Walking[None]:
    yield from _array(walk, _COMPLEX_BYTES, 7)
    yield from _array(walk, IMAGE_HEADER.itemsize, 3)
    for _ in range((yield from walk.count("images", "attributes"))):
        yield from walk.skip((yield from walk.length64("meta_bytes", "the attributes")))
    yield from _optional(walk, _waveforms)
    yield from _optional(walk, _array, ACQUISITION_HEADER.itemsize, 5)


def _waveforms(walk: Walk) -> Walking[None]:
    for _ in range((yield from walk.count("waveforms", "waveforms"))):
        raw = yield from walk.take(WAVEFORM_HEADER.itemsize)
        yield from _waveform_samples(walk, np.frombuffer(raw, WAVEFORM_HEADER)[0])


def _waveform_samples(walk: Walk, header: np.void) -> Walking[None]:
    shape = [int(header["channels"]), int(header["number_of_samples"])]
    size = _UINT32_BYTES * math.prod(shape)
    walk.check(size, "waveform_bytes", "number of waveform bytes")
    yield from walk.elements(_UINT32_BYTES, shape)


def _headers(walk: Walk, dtype: np.dtype, count: int) -> Walking[np.ndarray]:
    """Headers of a list, their sizes only: (3, count) of channels, samples, dimensions."""
    largest = dtype.itemsize * max(count, 1)
    size = dtype.itemsize * count
    walk.check(max(walk.at + size, largest), "composite_bytes", "number of bytes")
    names = ("active_channels", "number_of_samples", "trajectory_dimensions")
    if dtype is WAVEFORM_HEADER:
        names = ("channels", "number_of_samples")
    pieces: list[np.ndarray] = []
    for start in range(0, count, _HEADERS_AT_ONCE):
        some = min(count - start, _HEADERS_AT_ONCE)
        rows = np.frombuffer((yield from walk.take(some * dtype.itemsize)), dtype)
        pieces.append(np.stack([rows[name] for name in names]))
    return np.concatenate(pieces, axis=1) if pieces else np.zeros((len(names), 0), "<u2")


def _readouts(walk: Walk, count: int) -> Walking[None]:
    sizes = (yield from _headers(walk, ACQUISITION_HEADER, count)).astype(np.int64)
    channels, samples, dimensions = sizes
    yield from walk.elements(_FLOAT_BYTES, [int((samples * dimensions).sum())])
    yield from walk.elements(_COMPLEX_BYTES, [int((channels * samples).sum())])


def _statistics(walk: Walk) -> Walking[None]:
    for _ in range((yield from walk.count("recon_bits", "encoding spaces"))):
        for name in STATISTICS_COUNTERS:
            length = yield from walk.uint64()
            if length > 1 << 16:
                raise walk.error(f"{length} different values of the 16-bit counter {name}.")
            yield from walk.skip(2 * length)


def _bucket(walk: Walk) -> Walking[None]:
    raw = yield from walk.take(13 * 8)
    walk.identify(raw)
    sizes = [int(number) for number in np.frombuffer(raw, _UINT64)]
    for position, limit in ((0, "acquisitions"), (4, "acquisitions"), (10, "waveforms")):
        walk.check(sizes[position], limit, f"number of {limit}")
    for position in (0, 4):
        yield from _readouts(walk, sizes[position])
        yield from _statistics(walk)
    waveforms = yield from _headers(walk, WAVEFORM_HEADER, sizes[10])
    for channels, samples in waveforms.T.tolist():
        size = _UINT32_BYTES * channels * samples
        walk.check(size, "waveform_bytes", "number of waveform bytes")
        yield from walk.elements(_UINT32_BYTES, [channels, samples])


#: The walk of each message.
WALKS: dict[int, Callable[[Walk], Walking[None]]] = {
    MessageId.FILENAME: _filename,
    MessageId.CONFIG: _config,
    MessageId.HEADER: _header,
    MessageId.CLOSE: _close,
    MessageId.TEXT: _text,
    MessageId.QUERY: _query,
    MessageId.RESPONSE: _response,
    MessageId.ERROR: _error,
    MessageId.ACQUISITION: _acquisition,
    MessageId.DICOM_WITHNAME: _dicom,
    MessageId.DEPENDENCY_QUERY: _dependency_query,
    MessageId.IMAGE: _image,
    MessageId.RECON_DATA: _recon_data,
    MessageId.IMAGE_ARRAY: _image_array,
    MessageId.WAVEFORM: _waveform,
    MessageId.BUCKET: _bucket,
}
