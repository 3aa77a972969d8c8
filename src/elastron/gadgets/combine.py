"""Combine the channels of images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.image import Image


class CombineGadget(Gadget[Properties]):
    """Root sum of squares, with the phase averaged over channels, weighted by their power.

    Real images pass.
    """

    pure = True
    accepts = (Image,)

    def process(self, item: Image) -> Iterable[Item]:
        """Combine one image."""
        if not np.iscomplexobj(item.data):
            self.context.log.debug("CombineGadget leaves real images as they are")
            return (item,)
        header = item.header.copy()
        header["channels"] = 1
        return (replace(item, header=header, data=combined(item.data)),)


def combined(data: np.ndarray) -> np.ndarray:
    """(channels, z, y, x) -> (1, z, y, x), complex64; 0 where there is no signal."""
    power = np.real(data) ** 2 + np.imag(data) ** 2
    total = power.sum(axis=0, keepdims=True)
    phase = (power * np.angle(data)).sum(axis=0, keepdims=True)
    phase = np.divide(phase, total, out=np.zeros_like(total), where=total > 0)
    return (np.sqrt(total) * np.exp(1j * phase)).astype(np.complex64)
