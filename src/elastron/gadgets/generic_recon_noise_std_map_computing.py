"""GenericReconNoiseStdMapComputingGadget: standard deviation over repeated SNR images.

Behaviour follows Gadgetron 4.7.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.gadgets.generic_recon_base import DataRole, GenericReconProperties
from elastron.gadgets.image_array_attributes import data_role
from elastron.mrd.buffers import ImageArray
from elastron.recon.noise_maps import std_map


class NoiseStdMapProperties(GenericReconProperties):
    """Images along N before `start_N_for_std_map` are left out; they may not be steady."""

    start_N_for_std_map: int = Field(5, ge=0)  # noqa: N815


class GenericReconNoiseStdMapComputingGadget(Gadget[NoiseStdMapProperties]):
    """Send a standard deviation map after each array of SNR images that is long enough."""

    properties_type: ClassVar[type[Properties]] = NoiseStdMapProperties
    accepts: ClassVar[tuple[type, ...]] = (ImageArray,)
    pure: ClassVar[bool] = True

    def process(self, item: ImageArray) -> Iterable[Item]:
        """Pass the images on, and their standard deviation along N."""
        if data_role(item) != DataRole.SNR_MAP.value:
            return [item]
        start, repeats = self.properties.start_N_for_std_map, item.data.shape[2]
        if repeats <= start:
            self.context.log.info(
                "no standard deviation map: too few images along N", images=repeats, start=start
            )
            return [item]
        deviation = std_map(item.data, axis=2, start=start).astype(np.complex64)

        headers = item.headers[:, :, :1].copy()
        headers["image_series_index"] *= 10
        kept = np.arange(item.headers.size).reshape(item.headers.shape)[:, :, 0].ravel()
        meta = [item.meta[i].copy() for i in kept]
        for one in meta:
            one.put("GADGETRON_DataRole", DataRole.STD_MAP.value)
            one.put("GADGETRON_ImageComment", "GT", "SNR", DataRole.STD_MAP.value)
            one.put("GADGETRON_SeqDescription", "_STD_MAP")
            one.put("Use_dedicated_scaling_factor", 1)
        acquisitions = item.acquisition_headers
        return [
            item,
            replace(
                item,
                data=deviation,
                headers=headers,
                meta=meta,
                acquisition_headers=None if acquisitions is None else acquisitions[:, :, :1],
            ),
        ]
