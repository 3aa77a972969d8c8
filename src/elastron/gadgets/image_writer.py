"""Write images to plain binary files, for debugging, and pass them on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.gadgets.dump_folder import DUMP_FOLDER, dump_folder, free_paths
from elastron.mrd.image import Image


class _ImageWriter(Gadget[Properties]):
    """Writes images of one type to `out_<number>.<suffix>` in the node's dump folder.

    A file holds int32 number of axes, int32 lengths (x, y, z, channels), then the pixels, x
    fastest, little-endian: the original's layout. The original writes to the server's working
    directory and overwrites; this one writes to the node's dump folder, never overwrites, and
    without a dump folder only passes the images on.
    """

    accepts = (Image,)
    dtype: ClassVar[np.dtype]
    suffix: ClassVar[str]

    def __init__(self, properties: Properties, context: Context) -> None:
        super().__init__(properties, context)
        self._folder = dump_folder(context)
        self._count = 0
        if self._folder is None:
            context.log.warning(
                "no images are written: the node has no such setting",
                setting=DUMP_FOLDER,
                gadget=type(self).__name__,
            )

    def process(self, item: Image) -> Iterable[Item]:
        """Write the image if it is of our type."""
        if self._folder is not None and item.data.dtype == self.dtype:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in free_paths(self._folder, f"out_{self._count:05d}", self.suffix):
                try:
                    with path.open("xb") as file:
                        lengths = item.data.shape[::-1]
                        np.array([len(lengths), *lengths], "<i4").tofile(file)
                        np.ascontiguousarray(item.data, self.dtype).tofile(file)
                except FileExistsError:
                    continue
                break
            self._count += 1
        yield item


class ImageWriterGadgetCPLX(_ImageWriter):
    """Complex images (complex64) to `out_00000.cplx`, …"""

    dtype = np.dtype("<c8")
    suffix = ".cplx"


class ImageWriterGadgetFLOAT(_ImageWriter):
    """Real images (float32) to `out_00000.real`, …"""

    dtype = np.dtype("<f4")
    suffix = ".real"


class ImageWriterGadgetUSHORT(_ImageWriter):
    """16-bit images (uint16) to `out_00000.short`, …"""

    dtype = np.dtype("<u2")
    suffix = ".short"
