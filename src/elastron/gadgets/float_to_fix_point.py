"""Float images to 16- and 32-bit integers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from elastron.errors import DataError
from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.image import Image, ImageDataType, ImageType

_WINDOW_CENTER = "GADGETRON_WindowCenter"

_Int16 = Annotated[int, Field(ge=-(1 << 15), lt=1 << 15)]
_Int32 = Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)]


class FixPointProperties(Properties):
    """Properties of the conversions to integers.

    Attributes:
        max_intensity: values above are set to it.
        min_intensity: values below are set to it.
        intensity_offset: added to real and imaginary parts; where phase 0 goes.
    """

    max_intensity: _Int32 = 4095
    min_intensity: _Int32 = 0
    intensity_offset: _Int32 = 2048


class FloatToUShortProperties(FixPointProperties):
    """Limits of 16 bits."""

    max_intensity: _Int16 = 4095
    min_intensity: _Int16 = 0
    intensity_offset: _Int16 = 2048


class FloatToShortProperties(FixPointProperties):
    """The whole range of signed 16 bits by default."""

    max_intensity: _Int16 = (1 << 15) - 1
    min_intensity: _Int16 = -(1 << 15)
    intensity_offset: _Int16 = 0


class FloatToFixPointGadget(Gadget[FixPointProperties]):
    """Rounds float images to integers, half away from zero, and clips them.

    Magnitudes are taken as they are; the offset is added to real and imaginary parts (and to the
    window centre); phases of -pi to pi go to 0 to twice the offset. Other images pass.

    Attributes:
        data_type: of the result.
    """

    properties_type = FixPointProperties
    pure = True
    accepts = (Image,)
    data_type: ClassVar[ImageDataType]

    def process(self, item: Image) -> Iterable[Item]:
        """Convert one image.

        Raises:
            DataError: a float image that is no magnitude, phase, real or imaginary part.
        """
        if item.data.dtype != np.float32:
            return (item,)
        properties = self.properties
        offset, meta = np.float32(properties.intensity_offset), item.meta
        image_type = int(item.header["image_type"])
        if image_type == ImageType.MAGNITUDE:
            values = np.abs(item.data)
        elif image_type == ImageType.PHASE:
            values = item.data * offset / np.float32(np.pi) + offset
        elif image_type in {ImageType.REAL, ImageType.IMAG}:
            values = item.data + offset
            centre = meta.first(_WINDOW_CENTER)
            if centre is not None:
                meta = meta.copy()
                meta.put(_WINDOW_CENTER, int(float(centre)) + int(offset))
        else:
            raise DataError(
                f"{type(self).__name__}: an image of type {image_type} is neither magnitude, "
                "phase, real nor imaginary part; put ExtractGadget before it"
            )
        data = _rounded(values, properties.min_intensity, properties.max_intensity)
        limits = np.iinfo(self.data_type.dtype)
        data = np.clip(data, limits.min, limits.max).astype(self.data_type.dtype)
        header = item.header.copy()
        header["data_type"] = self.data_type
        return (replace(item, header=header, data=data, meta=meta),)


def _rounded(values: np.ndarray, lowest: int, highest: int) -> np.ndarray:
    """Clipped and rounded half away from zero (C's lround); NaN becomes the value next to 0.

    Returns:
        int64; a float32 cannot hold the limits of 32-bit types.
    """
    values = np.clip(np.where(np.isnan(values), np.float32(0), values), lowest, highest)
    whole = np.trunc(values)
    whole += np.where(np.abs(values - whole) >= 0.5, np.sign(values), np.float32(0))
    return np.clip(whole.astype(np.int64), lowest, highest)


class FloatToUShortGadget(FloatToFixPointGadget):
    """To unsigned 16-bit integers; by default 0 to 4095."""

    properties_type = FloatToUShortProperties
    data_type = ImageDataType.USHORT


class FloatToShortGadget(FloatToFixPointGadget):
    """To signed 16-bit integers; by default their whole range."""

    properties_type = FloatToShortProperties
    data_type = ImageDataType.SHORT


class FloatToUIntGadget(FloatToFixPointGadget):
    """To unsigned 32-bit integers; by default 0 to 4095."""

    data_type = ImageDataType.UINT


class FloatToIntGadget(FloatToFixPointGadget):
    """To signed 32-bit integers; by default 0 to 4095."""

    data_type = ImageDataType.INT
