"""Sort images by one of their counters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.mrd.image import Image


class ImageSortProperties(Properties):
    """Properties of `ImageSortGadget`.

    Attributes:
        sorting_dimension: counter to sort by; empty to leave the order as it is.
    """

    sorting_dimension: Literal["", "average", "slice", "contrast", "phase", "repetition", "set"] = (
        "slice"
    )


class ImageSortGadget(Gadget[ImageSortProperties]):
    """Keeps all images to the end of the scan, then puts them out in order of a counter.

    Unlike the original's, the sort is stable: images of equal counter keep their order. Without
    a dimension images pass at once (there they were held, and could be put out twice).
    """

    properties_type = ImageSortProperties
    accepts = (Image,)

    def __init__(self, properties: ImageSortProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._images: list[Image] = []

    def process(self, item: Image) -> Iterable[Item]:
        """Keep one image."""
        if not self.properties.sorting_dimension:
            return (item,)
        self._images.append(item)
        return ()

    def finish(self) -> Iterable[Item]:
        """All images, sorted."""
        dimension = self.properties.sorting_dimension
        yield from sorted(self._images, key=lambda image: int(image.header[dimension]))
        self._images.clear()
