"""GenericReconPartialFourierHandlingHomodyneGadget: homodyne detection.

The Gadgetron has no such gadget; it takes the place of its filter or POCS gadget in a config.
"""

from __future__ import annotations

from typing import Any

from elastron.gadgets.generic_recon_partial_fourier_handling import (
    GenericReconPartialFourierHandlingGadget,
    PartialFourierProperties,
)
from elastron.recon.partial_fourier import Sampled, homodyne


class GenericReconPartialFourierHandlingHomodyneGadget(
    GenericReconPartialFourierHandlingGadget[PartialFourierProperties]
):
    """See `elastron.recon.partial_fourier.homodyne`."""

    def complete(self, images: Any, sampled: Sampled, axes: tuple[int, ...]) -> Any:
        """Stand conjugate symmetry in for what is missing."""
        return homodyne(images, sampled, axes, threads=self.context.threads)
