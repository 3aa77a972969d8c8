"""Crop the readout to its central half and combine the channels of images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.gadgets.combine import combined
from elastron.mrd.image import Image


class CropAndCombineGadget(Gadget[Properties]):
    """For images whose readout is oversampled twice; real images pass.

    The magnitude is the original's; the phase is averaged as in `CombineGadget` (the original
    leaves out the division by the sum of the weights).
    """

    pure = True
    accepts = (Image,)

    def process(self, item: Image) -> Iterable[Item]:
        """Crop and combine one image."""
        if not np.iscomplexobj(item.data):
            return (item,)
        width = item.data.shape[-1]
        start = (width - width // 2) // 2
        header = item.header.copy()
        header["channels"] = 1
        header["matrix_size"][0] = width // 2
        header["field_of_view"][0] /= 2
        data = combined(item.data[..., start : start + width // 2])
        return (replace(item, header=header, data=data),)
