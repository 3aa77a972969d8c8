"""Images: header, data types, and the image itself."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np

from elastron.errors import DataError
from elastron.mrd.meta import Meta

#: ISMRMRD 1.x ImageHeader: 198 bytes, packed, little-endian.
IMAGE_HEADER = np.dtype(
    [
        ("version", "<u2"),
        ("data_type", "<u2"),
        ("flags", "<u8"),
        ("measurement_uid", "<u4"),
        ("matrix_size", "<u2", (3,)),
        ("field_of_view", "<f4", (3,)),
        ("channels", "<u2"),
        ("position", "<f4", (3,)),
        ("read_dir", "<f4", (3,)),
        ("phase_dir", "<f4", (3,)),
        ("slice_dir", "<f4", (3,)),
        ("patient_table_position", "<f4", (3,)),
        ("average", "<u2"),
        ("slice", "<u2"),
        ("contrast", "<u2"),
        ("phase", "<u2"),
        ("repetition", "<u2"),
        ("set", "<u2"),
        ("acquisition_time_stamp", "<u4"),
        ("physiology_time_stamp", "<u4", (3,)),
        ("image_type", "<u2"),
        ("image_index", "<u2"),
        ("image_series_index", "<u2"),
        ("user_int", "<i4", (8,)),
        ("user_float", "<f4", (8,)),
        ("attribute_string_len", "<u4"),
    ]
)


class ImageDataType(enum.IntEnum):
    """Sample type codes of the MRD standard."""

    USHORT = 1
    SHORT = 2
    UINT = 3
    INT = 4
    FLOAT = 5
    DOUBLE = 6
    CXFLOAT = 7
    CXDOUBLE = 8

    @property
    def dtype(self) -> np.dtype:
        """The little-endian numpy dtype."""
        return _DTYPES[self]

    @classmethod
    def of(cls, dtype: np.dtype) -> ImageDataType:
        """The code of a numpy dtype; KeyError if the standard has none."""
        return _CODES[np.dtype(dtype).newbyteorder("<")]


_DTYPES = {
    ImageDataType.USHORT: np.dtype("<u2"),
    ImageDataType.SHORT: np.dtype("<i2"),
    ImageDataType.UINT: np.dtype("<u4"),
    ImageDataType.INT: np.dtype("<i4"),
    ImageDataType.FLOAT: np.dtype("<f4"),
    ImageDataType.DOUBLE: np.dtype("<f8"),
    ImageDataType.CXFLOAT: np.dtype("<c8"),
    ImageDataType.CXDOUBLE: np.dtype("<c16"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


class ImageType(enum.IntEnum):
    """What the values of an image are."""

    MAGNITUDE = 1
    PHASE = 2
    REAL = 3
    IMAG = 4
    COMPLEX = 5
    RGB = 6


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One image (or volume) with its header and attributes.

    Attributes:
        header: structured scalar `IMAGE_HEADER`, shape (). `data_type`, `matrix_size` and
            `channels` are set from `data` when it is written.
        data: shape (channels, z, y, x), any dtype of `ImageDataType`.
        meta: attributes; empty for none.
    """

    header: np.ndarray
    data: np.ndarray
    meta: Meta = field(default_factory=Meta)

    @property
    def nbytes(self) -> int:
        """Bytes held by header and pixels."""
        return self.header.nbytes + self.data.nbytes


def image_header(image: Image, attribute_bytes: int) -> np.ndarray:
    """The header as it is written: type and sizes as the pixels have them.

    Args:
        image: any.
        attribute_bytes: length of the attributes that go with it.

    Returns:
        `IMAGE_HEADER`, shape (); a copy.

    Raises:
        DataError: pixels of a type or size MRD cannot hold.
    """
    if image.data.ndim != 4 or max(image.data.shape) > 65535:
        raise DataError(
            f"An image has the shape {image.data.shape}; MRD holds (channels, z, y, x), each up "
            "to 65535."
        )
    header = image.header.copy()
    try:
        header["data_type"] = ImageDataType.of(image.data.dtype)
    except KeyError:
        raise DataError(
            f"An image has the type {image.data.dtype}; MRD holds integers of 16 and 32 bits, "
            "floats and complex numbers. Convert it."
        ) from None
    channels, *sizes = image.data.shape
    header["channels"] = channels
    header["matrix_size"] = sizes[::-1]
    header["attribute_string_len"] = attribute_bytes
    return header
