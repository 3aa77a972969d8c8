"""GenericReconFieldOfViewAdjustmentGadget: images on the reconstruction's matrix.

Behaviour follows Gadgetron 4.7.2, with these differences: zero filling a volume keeps its
intensity (the original forgets the partitions in its scale); matrices that grow along one axis
and shrink along another are brought to size (the original stops); a reconstructed field of view
wider than the encoded one is filled with air (the original leaves the images as they are).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.gadgets.generic_recon_base import GenericReconProperties
from elastron.gadgets.image_array_attributes import encoding_space, extent_mm
from elastron.mrd.buffers import ImageArray
from elastron.recon.resize import adjust_field_of_view


class GenericReconFieldOfViewAdjustmentGadget(Gadget[GenericReconProperties]):
    """Interpolate and cut image arrays; matrix sizes in the headers follow."""

    properties_type: ClassVar[type[Properties]] = GenericReconProperties
    accepts: ClassVar[tuple[type, ...]] = (ImageArray,)
    pure: ClassVar[bool] = True

    def __init__(self, properties: GenericReconProperties, context: Context) -> None:
        super().__init__(properties, context)
        self.encodings = context.header.encoding

    def process(self, item: ImageArray) -> Iterable[Item]:
        """Bring the images to the reconstruction's matrix and field of view."""
        encoding = self.encodings[encoding_space(item, len(self.encodings))]
        matrix = encoding.reconSpace.matrixSize
        data = adjust_field_of_view(
            item.data,
            encoded_fov=extent_mm(item, "encoding_FOV") or _extent_mm(encoding.encodedSpace),
            recon_fov=extent_mm(item, "recon_FOV") or _extent_mm(encoding.reconSpace),
            recon_matrix=(matrix.x, matrix.y, matrix.z),
            threads=self.context.threads,
        )
        headers = item.headers.copy()
        headers["matrix_size"] = data.shape[:-4:-1]
        return [replace(item, data=data, headers=headers)]


def _extent_mm(space: Any) -> tuple[float, float, float]:
    extent = space.fieldOfView_mm
    return extent.x, extent.y, extent.z
