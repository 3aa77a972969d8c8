"""Magnitude, phase, real or imaginary part of complex images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from pydantic import Field

from elastron.errors import ConfigError
from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.mrd.image import Image, ImageDataType, ImageType

#: Added to the series, so that each kind makes a series of its own.
SERIES_OFFSET = {
    ImageType.MAGNITUDE: 0,
    ImageType.REAL: 1000,
    ImageType.IMAG: 2000,
    ImageType.PHASE: 3000,
}


class ExtractProperties(Properties):
    """Properties of `ExtractGadget`.

    Attributes:
        extract_mask: bits 1 magnitude, 2 real, 4 imaginary, 8 phase; adds to the switches.
        extract_magnitude: put out magnitude images.
        extract_real: put out real parts.
        extract_imag: put out imaginary parts.
        extract_phase: put out phases, 0 to 2 pi.
        real_imag_offset: added to real and imaginary parts.
    """

    extract_mask: int = Field(0, ge=0)
    extract_magnitude: bool = True
    extract_real: bool = False
    extract_imag: bool = False
    extract_phase: bool = False
    real_imag_offset: float = 0.0


class ExtractGadget(Gadget[ExtractProperties]):
    """One real image for each kind asked for, in the order magnitude, phase, real, imaginary.

    Images that are real already pass by.
    """

    properties_type = ExtractProperties
    pure = True
    accepts = (Image,)

    def __init__(self, properties: ExtractProperties, context: Context) -> None:
        super().__init__(properties, context)
        mask = properties.extract_mask
        wanted = {
            ImageType.MAGNITUDE: properties.extract_magnitude or mask & 1,
            ImageType.PHASE: properties.extract_phase or mask & 8,
            ImageType.REAL: properties.extract_real or mask & 2,
            ImageType.IMAG: properties.extract_imag or mask & 4,
        }
        self._types = [image_type for image_type, on in wanted.items() if on]
        if not self._types:
            raise ConfigError(
                "ExtractGadget has nothing to extract: set extract_magnitude, extract_phase, "
                "extract_real, extract_imag or extract_mask"
            )

    def process(self, item: Image) -> Iterable[Item]:
        """Extract from one image."""
        if not np.iscomplexobj(item.data):
            yield item
            return
        for image_type in self._types:
            header = item.header.copy()
            header["data_type"] = ImageDataType.FLOAT
            header["image_type"] = image_type
            series = int(header["image_series_index"]) + SERIES_OFFSET[image_type]
            header["image_series_index"] = series & 0xFFFF
            data = _part(item.data, image_type, self.properties.real_imag_offset)
            yield replace(item, header=header, data=data, meta=item.meta.copy())


def _part(data: np.ndarray, image_type: ImageType, offset: float) -> np.ndarray:
    if image_type is ImageType.MAGNITUDE:
        part = np.abs(data)
    elif image_type is ImageType.PHASE:
        part = np.angle(data) + np.float32(np.pi)
    else:
        part = (np.real if image_type is ImageType.REAL else np.imag)(data) + np.float32(offset)
    return part.astype(np.float32, copy=False)
