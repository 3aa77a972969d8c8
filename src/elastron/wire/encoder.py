"""Messages in, buffers for a vectored write out; no I/O.

Large arrays are handed on as they lie in memory. Acquisitions of a batch are laid out behind each
other in one structured array, some hundred kB at a time, so the work is per piece and not per
readout; a batch that still views the bytes it came in is sent as those bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from elastron.errors import ConfigError
from elastron.mrd.acquisition import (
    AcquisitionBatch,
    AcquisitionFlag,
    raw_headers,
    written_headers,
)
from elastron.mrd.buffers import Bucket, ImageArray, ReconData
from elastron.mrd.image import Image, image_header
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire import messages
from elastron.wire.composite_writers import write_bucket, write_image_array, write_recon_data
from elastron.wire.compression import compress_nhlbi
from elastron.wire.layout import (
    FILENAME_BYTES,
    UINT16,
    UINT32,
    UINT64,
    acquisition_message,
)
from elastron.wire.messages import Message, MessageId
from elastron.wire.parts import Buffer, Parts, bytes_of

#: Bytes of acquisitions laid out at a time: they stay in the cache until they are sent.
PIECE_BYTES = 512 << 10


def encode(
    message: Message, *, bits: int | None = None, tolerance: float | None = None
) -> list[Buffer]:
    """A message's bytes.

    Args:
        message: any; an `AcquisitionBatch` becomes one message a readout.
        bits: compress acquisitions (NHLBI) with so many bits a number, 1 to 31; or
        tolerance: compress with this largest error, in units of the samples. A readout for which
            it is too fine goes uncompressed.

    Returns:
        Buffers to be sent in order. They may view the message's arrays: send them before
        those change.

    Raises:
        DataError: arrays that MRD cannot hold.
        ConfigError: a config name too long for FILENAME.
        ValueError: `bits` out of range.
    """
    return [
        buffer for piece in iter_encode(message, bits=bits, tolerance=tolerance) for buffer in piece
    ]


def iter_encode(
    message: Message, *, bits: int | None = None, tolerance: float | None = None
) -> Iterator[list[Buffer]]:
    """As `encode`, in pieces: a large batch never lies in memory twice."""
    if isinstance(message, AcquisitionBatch):
        if bits is None and tolerance is None:
            yield from _acquisitions(message)
        else:
            yield from _compressed_acquisitions(message, bits, tolerance)
    else:
        yield _WRITERS[type(message)](message)


def message_nbytes(message: Message) -> int:
    """Bytes of a message on the wire, uncompressed."""
    if isinstance(message, AcquisitionBatch):
        return len(message) * _layout(message).itemsize
    return sum(bytes_of(buffer) for buffer in encode(message))


def _layout(batch: AcquisitionBatch) -> np.dtype:
    channels, samples = batch.data.shape[1:]
    dimensions = 0 if batch.trajectory is None else batch.trajectory.shape[2]
    return acquisition_message(channels, samples, dimensions)


def _acquisitions(batch: AcquisitionBatch) -> Iterator[list[Buffer]]:
    if not len(batch):
        return
    headers = written_headers(batch)
    layout = _layout(batch)
    if headers is batch.headers:
        received = _received_bytes(batch, layout)
        if received is not None:
            yield [received]
            return
    step = max(1, PIECE_BYTES // layout.itemsize)
    for start in range(0, len(batch), step):
        part = slice(start, start + step)
        rows = np.empty(len(headers[part]), layout)
        rows["id"] = MessageId.ACQUISITION
        raw_headers(rows["head"])[...] = raw_headers(headers[part])
        rows["data"] = batch.data[part]
        if batch.trajectory is not None:
            rows["trajectory"] = batch.trajectory[part]
        yield [rows.view(np.uint8).data]


def _received_bytes(batch: AcquisitionBatch, layout: np.dtype) -> memoryview | None:
    """The memory from which a batch was decoded, if it still views all of it unchanged."""
    chunk = batch.headers.base
    if (
        not isinstance(chunk, np.ndarray)
        or chunk.dtype != np.uint8
        or chunk.ndim != 1
        or batch.data.base is not chunk
        or batch.headers.flags.writeable
        or batch.data.flags.writeable
    ):
        return None
    start = _address(batch.headers) - _address(chunk) - 2
    stop = start + len(batch) * layout.itemsize
    if start < 0 or stop > len(chunk):
        return None
    rows = chunk[start:stop].view(layout)
    same = _same(rows["head"], batch.headers) and _same(rows["data"], batch.data)
    if batch.trajectory is not None:
        same = same and _same(rows["trajectory"], batch.trajectory)
    if not same or (rows["id"] != MessageId.ACQUISITION).any():
        return None
    return chunk[start:stop].data.toreadonly()


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same memory, seen in the same way."""
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and _address(a) == _address(b)
        and all(x == y for x, y, n in zip(a.strides, b.strides, a.shape, strict=True) if n > 1)
    )


def _compressed_acquisitions(
    batch: AcquisitionBatch, bits: int | None, tolerance: float | None
) -> Iterator[list[Buffer]]:
    headers = written_headers(batch).copy()
    plain = _layout(batch)
    for i in range(len(batch)):
        floats = np.ascontiguousarray(batch.data[i], "<c8").reshape(-1).view("<f4")
        body: bytes | None
        try:
            body = compress_nhlbi(floats, bits=bits, tolerance=tolerance)
        except ValueError:
            if tolerance is None:
                raise
            body = None
        if body is None or len(body) + 4 >= floats.nbytes:
            yield from _acquisitions(batch.select(slice(i, i + 1)))
            continue
        headers[i]["flags"] |= AcquisitionFlag.COMPRESSION2.mask
        head = UINT16.pack(MessageId.ACQUISITION) + headers[i].tobytes()
        if "trajectory" in (plain.names or ()) and batch.trajectory is not None:
            head += np.ascontiguousarray(batch.trajectory[i], "<f4").tobytes()
        yield [head + UINT32.pack(len(body)), body]


def _config_name(message: messages.ConfigName) -> list[Buffer]:
    name = message.name.encode()
    if len(name) >= FILENAME_BYTES or b"\0" in name:
        raise ConfigError(
            f"A config name of {len(name)} bytes cannot be sent; {FILENAME_BYTES - 1} are "
            "possible, none of them NUL. Send the config itself."
        )
    return [UINT16.pack(MessageId.FILENAME) + name.ljust(FILENAME_BYTES, b"\0")]


def _config_xml(message: messages.ConfigXml) -> list[Buffer]:
    return _counted32(MessageId.CONFIG, message.xml)


def _header_xml(message: messages.HeaderXml) -> list[Buffer]:
    return _counted32(MessageId.HEADER, message.xml)


def _text(message: messages.Text) -> list[Buffer]:
    return _counted32(MessageId.TEXT, message.text.encode(errors="replace"))


def _close(message: messages.Close) -> list[Buffer]:
    return [UINT16.pack(MessageId.CLOSE)]


def _query(message: messages.Query) -> list[Buffer]:
    query = message.query.encode(errors="replace")
    return [
        UINT16.pack(MessageId.QUERY)
        + UINT64.pack(message.reserved)
        + UINT64.pack(message.correlation_id)
        + UINT64.pack(len(query))
        + query
    ]


def _response(message: messages.Response) -> list[Buffer]:
    response = message.response.encode(errors="replace")
    return [
        UINT16.pack(MessageId.RESPONSE)
        + UINT64.pack(message.correlation_id)
        + UINT64.pack(len(response))
        + response
    ]


def _error(message: messages.Error) -> list[Buffer]:
    return _counted64(MessageId.ERROR, message.text.encode(errors="replace"))


def _dependency_query(message: messages.DependencyQuery) -> list[Buffer]:
    return _counted64(MessageId.DEPENDENCY_QUERY, message.meta.to_xml())


def _dicom(message: messages.DicomWithName) -> list[Buffer]:
    filename = message.filename.encode(errors="replace")
    return [
        UINT16.pack(MessageId.DICOM_WITHNAME) + UINT32.pack(len(message.dicom)),
        message.dicom,
        UINT64.pack(len(filename)) + filename + UINT64.pack(len(message.meta)) + message.meta,
    ]


def _image(message: Image) -> list[Buffer]:
    xml = message.meta.to_xml()
    if xml:
        xml += b"\0"  # as the Gadgetron writes it, counted
    parts = Parts(MessageId.IMAGE)
    parts.add(image_header(message, len(xml)).tobytes() + UINT64.pack(len(xml)) + xml)
    parts.add_elements(message.data, message.data.dtype.newbyteorder("<"))
    return parts.buffers()


def _waveform(message: Waveform) -> list[Buffer]:
    header = np.zeros((), WAVEFORM_HEADER)
    header[...] = message.header
    header["channels"], header["number_of_samples"] = message.data.shape
    parts = Parts(MessageId.WAVEFORM)
    parts.add(header.tobytes())
    parts.add_elements(message.data, np.dtype("<u4"))
    return parts.buffers()


def _counted32(message_id: MessageId, payload: bytes) -> list[Buffer]:
    return [UINT16.pack(message_id) + UINT32.pack(len(payload)) + payload]


def _counted64(message_id: MessageId, payload: bytes) -> list[Buffer]:
    return [UINT16.pack(message_id) + UINT64.pack(len(payload)) + payload]


_WRITERS: dict[type, Callable[[Any], list[Buffer]]] = {
    messages.ConfigName: _config_name,
    messages.ConfigXml: _config_xml,
    messages.HeaderXml: _header_xml,
    messages.Close: _close,
    messages.Text: _text,
    messages.Query: _query,
    messages.Response: _response,
    messages.Error: _error,
    messages.DependencyQuery: _dependency_query,
    messages.DicomWithName: _dicom,
    Image: _image,
    Waveform: _waveform,
    ReconData: write_recon_data,
    ImageArray: write_image_array,
    Bucket: write_bucket,
}
