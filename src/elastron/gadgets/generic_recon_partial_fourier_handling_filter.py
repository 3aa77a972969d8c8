"""GenericReconPartialFourierHandlingFilterGadget: zero filling with a smooth edge."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from elastron.gadgets.base import Properties
from elastron.gadgets.generic_recon_partial_fourier_handling import (
    GenericReconPartialFourierHandlingGadget,
    PartialFourierProperties,
)
from elastron.recon.partial_fourier import Sampled, filter_partial_fourier


class PartialFourierFilterProperties(PartialFourierProperties):
    """Width of the flank towards the missing side, as a share of the axis."""

    partial_fourier_filter_RO_width: float = Field(0.15, ge=0, le=1)  # noqa: N815
    partial_fourier_filter_E1_width: float = Field(0.15, ge=0, le=1)  # noqa: N815
    partial_fourier_filter_E2_width: float = Field(0.15, ge=0, le=1)  # noqa: N815
    partial_fourier_filter_densityComp: bool = False  # noqa: N815


class GenericReconPartialFourierHandlingFilterGadget(
    GenericReconPartialFourierHandlingGadget[PartialFourierFilterProperties]
):
    """See `elastron.recon.partial_fourier.filter_partial_fourier`."""

    properties_type: ClassVar[type[Properties]] = PartialFourierFilterProperties

    def complete(self, images: Any, sampled: Sampled, axes: tuple[int, ...]) -> Any:
        """Let k-space fall off smoothly towards its missing side."""
        properties = self.properties
        return filter_partial_fourier(
            images,
            sampled,
            widths={
                -1: properties.partial_fourier_filter_RO_width,
                -2: properties.partial_fourier_filter_E1_width,
                -3: properties.partial_fourier_filter_E2_width,
            },
            density_compensation=properties.partial_fourier_filter_densityComp,
            threads=self.context.threads,
        )
