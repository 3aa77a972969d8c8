"""Inverse Fourier transform, channel by channel."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.gadgets.simple_recon import image_header_of
from elastron.mrd.acquisition import ReadoutDomain
from elastron.mrd.buffers import ReconData
from elastron.mrd.image import Image
from elastron.recon.fft import ifft


class FFTGadget(Gadget[Properties]):
    """Complex images with all their channels, one for each N, S and LOC."""

    hybrid = Hybrid.CONSUMES
    accepts = (ReconData,)

    def __init__(self, properties: Properties, context: Context) -> None:
        super().__init__(properties, context)
        self._n_images = 0

    def process(self, item: ReconData) -> Iterable[Item]:
        """Transform all encoding spaces."""
        for bit in item.bits:
            buffered = bit.data
            in_image_space = buffered.readout_domain is ReadoutDomain.IMAGE
            axes = (1, 2) if in_image_space else (1, 2, 3)
            if not buffered.data.size:
                continue
            for index in np.ndindex(buffered.data.shape[:3]):
                header = image_header_of(buffered, index)
                header["channels"] = buffered.data.shape[3]
                self._n_images += 1
                header["image_index"] = self._n_images & 0xFFFF
                yield Image(header, ifft(buffered.data[index], axes, threads=self.context.threads))
