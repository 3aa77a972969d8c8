"""Attributes that vendors' converters look for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.image import Image


class AugmentImageMetadataGadget(Gadget[Properties]):
    """Adds `ImageRowDir` and `ImageColumnDir`, the read and phase directions of the header.

    Present attributes of three values are kept. The original takes complex images only.
    """

    accepts = (Image,)
    pure = True

    def process(self, item: Image) -> Iterable[Item]:
        """Add to one image what it lacks."""
        meta = item.meta.copy()
        for name, field in (("ImageRowDir", "read_dir"), ("ImageColumnDir", "phase_dir")):
            if len(meta.get(name, ())) != 3:
                meta.add(name, *(float(value) for value in item.header[field]))
        yield replace(item, meta=meta)
