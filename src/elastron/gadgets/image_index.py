"""Number the images of each series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.mrd.image import Image


class ImageIndexGadget(Gadget[Properties]):
    """Sets `image_index` to 1, 2, … within each `image_series_index`."""

    accepts = (Image,)

    def __init__(self, properties: Properties, context: Context) -> None:
        super().__init__(properties, context)
        self._counts: Counter[int] = Counter()

    def process(self, item: Image) -> Iterable[Item]:
        """Number one image."""
        series = int(item.header["image_series_index"])
        self._counts[series] += 1
        header = item.header.copy()
        header["image_index"] = self._counts[series] & 0xFFFF  # uint16 in the standard
        yield replace(item, header=header)
