"""Readers of single messages, one an id; payloads as in Gadgetron's core/readers."""

from __future__ import annotations

import numpy as np

from elastron.errors import DataError
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag
from elastron.mrd.image import IMAGE_HEADER, Image, ImageDataType
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire import messages
from elastron.wire.composite_readers import read_bucket, read_image_array, read_recon_data
from elastron.wire.compression import decompress_nhlbi, decompress_zfp
from elastron.wire.cursor import Cursor, Reader, Reading
from elastron.wire.layout import FILENAME_BYTES, acquisition_body_bytes
from elastron.wire.messages import MessageId


def _read_filename(cursor: Cursor) -> Reading[messages.ConfigName]:
    start = yield from cursor.take(FILENAME_BYTES)
    name = cursor.memory[start : cursor.at].tobytes().partition(b"\0")[0]
    return messages.ConfigName(name.decode(errors="replace"))


def _read_config(cursor: Cursor) -> Reading[messages.ConfigXml]:
    return messages.ConfigXml((yield from cursor.bytes32("config_bytes", "the config")))


def _read_header(cursor: Cursor) -> Reading[messages.HeaderXml]:
    return messages.HeaderXml((yield from cursor.bytes32("header_bytes", "the header")))


def _read_close(cursor: Cursor) -> Reading[messages.Close]:
    yield from cursor.take(0)
    return messages.Close()


def _read_text(cursor: Cursor) -> Reading[messages.Text]:
    return messages.Text(_decode((yield from cursor.bytes32("text_bytes", "the text"))))


def _read_query(cursor: Cursor) -> Reading[messages.Query]:
    reserved = yield from cursor.uint64()
    correlation_id = yield from cursor.uint64()
    query = yield from cursor.bytes64("query_bytes", "the query")
    return messages.Query(_decode(query), correlation_id, reserved)


def _read_response(cursor: Cursor) -> Reading[messages.Response]:
    correlation_id = yield from cursor.uint64()
    response = yield from cursor.bytes64("response_bytes", "the response")
    return messages.Response(_decode(response), correlation_id)


def _read_error(cursor: Cursor) -> Reading[messages.Error]:
    return messages.Error(_decode((yield from cursor.bytes64("text_bytes", "the text"))))


def _read_dicom(cursor: Cursor) -> Reading[messages.DicomWithName]:
    dicom = yield from cursor.bytes32("dicom_bytes", "the DICOM file")
    filename = yield from cursor.bytes64("filename_bytes", "the file name")
    meta = yield from cursor.bytes64("meta_bytes", "the attributes")
    return messages.DicomWithName(dicom, _decode(filename), meta)


def _read_dependency_query(cursor: Cursor) -> Reading[messages.DependencyQuery]:
    xml = yield from cursor.bytes64("meta_bytes", "the attributes")
    return messages.DependencyQuery(_parse_meta(cursor, xml))


def _read_waveform(cursor: Cursor) -> Reading[Waveform]:
    header = yield from cursor.scalar(WAVEFORM_HEADER)
    shape = (int(header["channels"]), int(header["number_of_samples"]))
    cursor.check(4 * shape[0] * shape[1], "waveform_bytes", "number of sample bytes")
    span = yield from cursor.span(np.dtype("<u4"), shape)
    # Copied: a few kB that are kept for long must not hold a whole receive buffer.
    return Waveform(header, cursor.view(span).copy())


def _read_image(cursor: Cursor) -> Reading[Image]:
    header = yield from cursor.scalar(IMAGE_HEADER)
    try:
        dtype = ImageDataType(int(header["data_type"])).dtype
    except ValueError:
        raise cursor.error(
            f"data type {int(header['data_type'])} is unknown; 1 (ushort) to 8 (cxdouble) are."
        ) from None
    x, y, z = (int(size) for size in header["matrix_size"])
    shape = (int(header["channels"]), z, y, x)
    pixel_bytes = dtype.itemsize * shape[0] * z * y * x
    cursor.check(pixel_bytes, "image_bytes", f"number of pixel bytes of shape {shape}")
    xml = yield from cursor.bytes64("meta_bytes", "the attributes")
    span = yield from cursor.span(dtype, shape)
    return Image(header, cursor.view(span), _parse_meta(cursor, xml))


def read_compressed_acquisition(cursor: Cursor) -> Reading[AcquisitionBatch]:
    """One acquisition with a compression flag; comes out uncompressed, flag cleared."""
    header = yield from cursor.scalar(ACQUISITION_HEADER)
    samples, channels = int(header["number_of_samples"]), int(header["active_channels"])
    dimensions = int(header["trajectory_dimensions"])
    body_bytes = acquisition_body_bytes(channels, samples, dimensions)
    cursor.check(body_bytes, "acquisition_bytes", "number of bytes, uncompressed,")
    trajectory = yield from cursor.span(np.dtype("<f4"), (samples, dimensions))
    count = yield from cursor.uint32()
    cursor.check(count, "acquisition_bytes", "number of compressed bytes")
    start = yield from cursor.take(count)
    zfp = AcquisitionFlag.COMPRESSION1.mask
    decompress = decompress_zfp if header["flags"] & zfp else decompress_nhlbi
    floats = decompress(cursor.memory[start : cursor.at], 2 * samples * channels)
    header["flags"] &= ~(zfp | AcquisitionFlag.COMPRESSION2.mask)
    return AcquisitionBatch(
        headers=header.reshape(1),
        data=floats.view(np.complex64).reshape(1, channels, samples),
        trajectory=cursor.view(trajectory)[np.newaxis].copy() if dimensions else None,
    )


def _parse_meta(cursor: Cursor, xml: bytes) -> Meta:
    try:
        return Meta.from_xml(xml)
    except DataError as error:
        raise cursor.error(str(error)) from error


def _decode(text: bytes) -> str:
    return text.rstrip(b"\0").decode(errors="replace")


#: How to read each message; ISMRMRD_ACQUISITION is the decoder's own.
READERS: dict[int, Reader] = {
    MessageId.FILENAME: _read_filename,
    MessageId.CONFIG: _read_config,
    MessageId.HEADER: _read_header,
    MessageId.CLOSE: _read_close,
    MessageId.TEXT: _read_text,
    MessageId.QUERY: _read_query,
    MessageId.RESPONSE: _read_response,
    MessageId.ERROR: _read_error,
    MessageId.DICOM_WITHNAME: _read_dicom,
    MessageId.DEPENDENCY_QUERY: _read_dependency_query,
    MessageId.IMAGE: _read_image,
    MessageId.RECON_DATA: read_recon_data,
    MessageId.IMAGE_ARRAY: read_image_array,
    MessageId.WAVEFORM: _read_waveform,
    MessageId.BUCKET: read_bucket,
}
