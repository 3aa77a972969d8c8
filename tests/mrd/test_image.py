"""Image and waveform headers and types against the standard's numbers."""

from __future__ import annotations

import ctypes
import warnings

import numpy as np
import pytest

from elastron.errors import DataError
from elastron.mrd.image import IMAGE_HEADER, Image, ImageDataType, ImageType, image_header
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform

with warnings.catch_warnings():
    from ismrmrd import constants
    from ismrmrd.image import ImageHeader
    from ismrmrd.waveform import WaveformHeader


@pytest.mark.parametrize(
    ("dtype", "structure"), [(IMAGE_HEADER, ImageHeader), (WAVEFORM_HEADER, WaveformHeader)]
)
def test_layout(dtype: np.dtype, structure: type[ctypes.Structure]) -> None:
    assert dtype.itemsize == ctypes.sizeof(structure)
    offsets = {name: getattr(structure, name).offset for name, _ in structure._fields_}
    assert {name: field[1] for name, field in dtype.fields.items()} == offsets


def test_codes() -> None:
    for code in ImageDataType:
        assert getattr(constants, f"DATATYPE_{code.name}") == code.value
        assert ImageDataType.of(code.dtype) is code
        assert ImageDataType.of(code.dtype.newbyteorder(">")) is code
    for kind in (ImageType.MAGNITUDE, ImageType.PHASE, ImageType.REAL, ImageType.COMPLEX):
        assert getattr(constants, f"IMTYPE_{kind.name}") == kind.value


def test_the_header_is_written_as_the_pixels_are() -> None:
    header = np.zeros((), IMAGE_HEADER)
    header["image_index"] = 9
    image = Image(header, np.zeros((2, 3, 4, 5), np.complex64))
    written = image_header(image, 77)
    assert written["data_type"] == ImageDataType.CXFLOAT
    assert written["channels"] == 2
    assert written["matrix_size"].tolist() == [5, 4, 3]
    assert written["attribute_string_len"] == 77
    assert written["image_index"] == 9
    assert header["channels"] == 0
    assert image.nbytes == 198 + 2 * 3 * 4 * 5 * 8


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (np.zeros((1, 1, 1)), "shape"),
        (np.zeros((1, 1, 1, 65536), np.uint16), "65535"),
        (np.zeros((1, 1, 1, 1), np.int64), "int64"),
        (np.zeros((1, 1, 1, 1), bool), "bool"),
    ],
)
def test_pixels_mrd_cannot_hold(data: np.ndarray, text: str) -> None:
    with pytest.raises(DataError, match=text):
        image_header(Image(np.zeros((), IMAGE_HEADER), data), 0)


def test_waveform_bytes() -> None:
    waveform = Waveform(np.zeros((), WAVEFORM_HEADER), np.zeros((2, 3), np.uint32))
    assert waveform.nbytes == 40 + 24
