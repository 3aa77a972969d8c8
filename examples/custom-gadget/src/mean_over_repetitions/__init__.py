"""Average the repetitions of each slice."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.image import Image


class MeanProperties(Properties):
    series: int = 10  # series number of the mean images
    keep_repetitions: bool = True  # put out the single repetitions, too


class MeanOverRepetitionsGadget(Gadget[MeanProperties]):
    """Puts out the mean image of each slice when the scan has ended."""

    properties_type = MeanProperties
    accepts = (Image,)  # everything else passes by

    def __init__(self, properties, context):
        super().__init__(properties, context)
        self.images: dict[int, list[Image]] = {}

    def process(self, item: Image) -> Iterable[Item]:
        self.images.setdefault(int(item.header["slice"]), []).append(item)
        if self.properties.keep_repetitions:
            yield item

    def finish(self) -> Iterable[Item]:
        for images in self.images.values():
            header = images[0].header.copy()  # items are shared: copy before you change
            header["image_series_index"] = self.properties.series
            mean = np.mean([image.data for image in images], axis=0, dtype=np.float32)
            meta = images[0].meta.copy()
            meta.put("GADGETRON_ImageComment", f"mean of {len(images)} repetitions")
            yield Image(header, mean, meta)
