"""GenericReconImageArrayScalingGadget: intensities that fit whole numbers.

Behaviour follows Gadgetron 4.7.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

import numpy as np

from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.gadgets.generic_recon_base import DataRole, GenericReconProperties
from elastron.gadgets.image_array_attributes import attributes, data_role, encoding_space
from elastron.mrd.buffers import ImageArray

#: Automatic scaling of images in SNR units starts from this factor …
_DEFAULT_SCALE = 4.0
#: … and brings the maximum of other images here.
_DEFAULT_MAXIMUM = 2048
#: Images looked at for the maximum, from the middle of the array.
_IMAGES_LOOKED_AT = 24


class ImageArrayScalingProperties(GenericReconProperties):
    """Factors by what the images are; `scalingFactor` <= 0 means automatic."""

    use_constant_scalingFactor: bool = True  # noqa: N815
    scalingFactor: float = 4.0  # noqa: N815
    min_intensity_value: int = 64
    max_intensity_value: int = 4095
    auto_scaling_only_once: bool = True
    use_dedicated_scalingFactor_meta_field: str = "Use_dedicated_scaling_factor"  # noqa: N815
    scalingFactor_dedicated: float = 100.0  # noqa: N815
    scalingFactor_gfactor_map: float = 100.0  # noqa: N815
    scalingFactor_snr_map: float = 10.0  # noqa: N815
    scalingFactor_snr_std_map: float = 1000.0  # noqa: N815


class GenericReconImageArrayScalingGadget(Gadget[ImageArrayScalingProperties]):
    """Multiply image arrays, and note the factor in their attributes."""

    properties_type: ClassVar[type[Properties]] = ImageArrayScalingProperties
    accepts: ClassVar[tuple[type, ...]] = (ImageArray,)

    def __init__(self, properties: ImageArrayScalingProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._factors: dict[int, float] = {}  # automatic ones, by encoding space

    def process(self, item: ImageArray) -> Iterable[Item]:
        """Scale the images."""
        factor = self._factor(item)
        meta = [one.copy() for one in item.meta]
        for one in meta:
            one.add("GADGETRON_ImageComment", f"x{factor:.4g}")
            one.put("GADGETRON_ScaleRatio", factor)
        data = item.data if factor == 1 else item.data * np.float32(factor)
        return [replace(item, data=data, meta=meta)]

    def _factor(self, item: ImageArray) -> float:
        properties = self.properties
        by_role = {
            DataRole.SNR_MAP.value: properties.scalingFactor_snr_map,
            DataRole.GFACTOR.value: properties.scalingFactor_gfactor_map,
            DataRole.STD_MAP.value: properties.scalingFactor_snr_std_map,
        }
        encoding = encoding_space(item, len(self.context.header.encoding))
        role = data_role(item)
        if role in by_role:
            return by_role[role]
        if properties.use_dedicated_scalingFactor_meta_field in attributes(item):
            return properties.scalingFactor_dedicated
        if properties.use_constant_scalingFactor and properties.scalingFactor > 0:
            return properties.scalingFactor
        if encoding not in self._factors or not properties.auto_scaling_only_once:
            self._factors[encoding] = self._automatic_factor(item.data)
        return self._factors[encoding]

    def _automatic_factor(self, data: np.ndarray) -> float:
        """A factor that fits the maximum into the range of intensities.

        Images whose maximum lies in the range are taken to be in SNR units: they get a round
        factor, so that intensities can be compared between scans. Others are brought to a
        fixed maximum.
        """
        low, high = self.properties.min_intensity_value, self.properties.max_intensity_value
        images = data.reshape(-1, *data.shape[-3:])
        if len(images) > _IMAGES_LOOKED_AT:
            start = len(images) // 2 - _IMAGES_LOOKED_AT // 2
            images = images[start : start + _IMAGES_LOOKED_AT]
        maximum = float(np.max(np.abs(images), initial=0))
        if not np.isfinite(maximum) or maximum < np.finfo(np.float32).eps:
            maximum = 1.0
        if not low <= maximum <= high:
            return float(np.float32(_DEFAULT_MAXIMUM / maximum))
        factor = _DEFAULT_SCALE
        while maximum * factor > high and factor >= 2:
            factor /= 2
        return factor if maximum * factor <= high else high / maximum
