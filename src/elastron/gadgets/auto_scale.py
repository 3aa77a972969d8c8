"""Scale magnitude images so that their bright end stands at a given value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from pydantic import Field

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.image import Image, ImageType

#: Share of the pixels below the value that is scaled to `max_value`.
_SHARE = 0.99


class AutoScaleProperties(Properties):
    """Properties of `AutoScaleGadget`.

    Attributes:
        max_value: where the 99th percentile goes.
        histogram_bins: of the histogram it is read from.
    """

    max_value: float = 2048.0
    histogram_bins: int = Field(100, ge=1, le=1 << 20)


class AutoScaleGadget(Gadget[AutoScaleProperties]):
    """Scales each magnitude image by itself; other images pass.

    The percentile is the upper edge of the histogram bin after the one that reaches it, as in
    the original. An image without signal stays as it is.
    """

    properties_type = AutoScaleProperties
    pure = True
    accepts = (Image,)

    def process(self, item: Image) -> Iterable[Item]:
        """Scale one image."""
        data = item.data
        is_magnitude = int(item.header["image_type"]) == ImageType.MAGNITUDE
        if np.iscomplexobj(data) or not is_magnitude or not data.size:
            return (item,)
        maximum = np.float32(data.max())
        if not 0 < maximum < np.inf:
            return (item,)
        bins = np.float32(self.properties.histogram_bins)
        bin_of = np.floor(data.astype(np.float32) / maximum * bins)
        # Below 0 counts as the top bin: the original casts to an unsigned number.
        bin_of = np.where(bin_of < 0, bins - 1, np.minimum(bin_of, bins - 1)).astype(np.intp)
        counts = np.cumsum(np.bincount(bin_of.ravel(), minlength=int(bins)))
        reached = int(np.searchsorted(counts, _SHARE * data.size)) + 1
        top = np.float32(reached + 1) * (maximum / bins)
        scale = float(np.float32(self.properties.max_value) / top)
        scaled = np.multiply(data, scale, dtype=np.float64).astype(data.dtype)
        return (replace(item, data=scaled),)
