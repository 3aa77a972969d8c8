"""Single images out of image arrays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.buffers import ImageArray
from elastron.mrd.image import Image
from elastron.mrd.meta import Meta


class ImageArraySplitGadget(Gadget[Properties]):
    """One image for each N, S and LOC, N first; single images pass by."""

    pure = True
    accepts = (ImageArray,)

    def process(self, item: ImageArray) -> Iterable[Item]:
        """Split one array."""
        for number, index in enumerate(np.ndindex(item.headers.shape)):
            meta = item.meta[number] if number < len(item.meta) else Meta()
            yield Image(item.headers[index].copy(), item.data[index], meta)
