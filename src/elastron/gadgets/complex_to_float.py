"""The part of a complex image that its header names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.image import Image, ImageDataType, ImageType

_PARTS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    ImageType.MAGNITUDE: np.abs,
    ImageType.PHASE: np.angle,
    ImageType.REAL: np.real,
    ImageType.IMAG: np.imag,
}


class ComplexToFloatGadget(Gadget[Properties]):
    """Magnitude, phase, real or imaginary part by `image_type`; magnitude if it names none."""

    pure = True
    accepts = (Image,)

    def process(self, item: Image) -> Iterable[Item]:
        """Convert one image; real ones pass."""
        if not np.iscomplexobj(item.data):
            return (item,)
        image_type = int(item.header["image_type"])
        header = item.header.copy()
        if image_type not in _PARTS:
            header["image_type"] = image_type = ImageType.MAGNITUDE
        header["data_type"] = ImageDataType.FLOAT
        data = _PARTS[image_type](item.data).astype(np.float32)
        return (replace(item, header=header, data=data),)
