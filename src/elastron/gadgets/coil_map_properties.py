"""How the generic Cartesian gadgets make coil maps, as their configs say."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from elastron.gadgets.generic_recon_base import GenericReconProperties
from elastron.recon import coil_maps


class CoilMapProperties(GenericReconProperties):
    """Series of the images, and how coil maps are made.

    Attributes:
        image_series: base of the series numbers.
        coil_map_algorithm: `Walsh` is an addition to the original's two.
        coil_map_kernel_size_readout: window of the coil maps in x and y.
        coil_map_kernel_size_phase: window in z.
        coil_map_num_iter: iterations of Inati_Iter.
        coil_map_thres_iter: relative change at which Inati_Iter stops.
    """

    image_series: int = 0
    coil_map_algorithm: Literal["Inati", "Inati_Iter", "Walsh"] = "Inati"
    coil_map_kernel_size_readout: int = Field(7, ge=1)
    coil_map_kernel_size_phase: int = Field(5, ge=1)
    coil_map_num_iter: int = Field(10, ge=1)
    coil_map_thres_iter: float = Field(1e-4, ge=0)

    def coil_map(self, images: np.ndarray, size: int, *, threads: int = 1) -> np.ndarray:
        """Maps from images of the channels.

        Args:
            images: complex64, (channels, z, y, x).
            size: of the window in x and y; smaller on a coarser grid.
            threads: at work at a time, where the algorithm can use them.
        """
        window = (size, self.coil_map_kernel_size_phase)
        match self.coil_map_algorithm:
            case "Inati_Iter":
                return coil_maps.inati_iterative(
                    images,
                    window,
                    iterations=self.coil_map_num_iter,
                    tolerance=self.coil_map_thres_iter,
                )
            case "Walsh":
                return coil_maps.walsh(images, window, threads=threads)
            case "Inati":
                return coil_maps.inati(images, window, threads=threads)
