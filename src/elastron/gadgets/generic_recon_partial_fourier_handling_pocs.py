"""GenericReconPartialFourierHandlingPOCSGadget: projection onto convex sets."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from elastron.gadgets.base import Properties
from elastron.gadgets.generic_recon_partial_fourier_handling import (
    GenericReconPartialFourierHandlingGadget,
    PartialFourierProperties,
)
from elastron.recon.partial_fourier import Sampled, pocs


class PartialFourierPOCSProperties(PartialFourierProperties):
    """Iterations, threshold of the relative change, and points to blend over."""

    partial_fourier_POCS_iters: int = Field(6, ge=0, le=1000)  # noqa: N815
    partial_fourier_POCS_thres: float = Field(0.01, ge=0)  # noqa: N815
    partial_fourier_POCS_transitBand: int = Field(24, ge=0)  # noqa: N815
    partial_fourier_POCS_transitBand_E2: int = Field(16, ge=0)  # noqa: N815


class GenericReconPartialFourierHandlingPOCSGadget(
    GenericReconPartialFourierHandlingGadget[PartialFourierPOCSProperties]
):
    """See `elastron.recon.partial_fourier.pocs`."""

    properties_type: ClassVar[type[Properties]] = PartialFourierPOCSProperties

    def complete(self, images: Any, sampled: Sampled, axes: tuple[int, ...]) -> Any:
        """Estimate what is missing from the phase's smoothness."""
        properties = self.properties
        band = properties.partial_fourier_POCS_transitBand
        return pocs(
            images,
            sampled,
            axes,
            transition={-1: band, -2: band, -3: properties.partial_fourier_POCS_transitBand_E2},
            iterations=properties.partial_fourier_POCS_iters,
            threshold=properties.partial_fourier_POCS_thres,
            threads=self.context.threads,
        )
