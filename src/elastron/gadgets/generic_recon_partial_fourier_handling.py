"""What the partial Fourier gadgets share: which axes are partial.

Behaviour follows Gadgetron 4.7.2, `GenericReconPartialFourierHandlingGadget`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

from elastron.gadgets.base import Context, Gadget, Item, P, Properties
from elastron.gadgets.generic_recon_base import SKIP_PROCESSING, GenericReconProperties
from elastron.gadgets.image_array_attributes import attributes, encoding_space, sampling_limits
from elastron.mrd.buffers import ImageArray, SamplingLimit
from elastron.recon.partial_fourier import Sampled, SampledRange


class PartialFourierProperties(GenericReconProperties):
    """Properties of every partial Fourier gadget."""

    skip_processing_meta_field: str = SKIP_PROCESSING


class GenericReconPartialFourierHandlingGadget(Gadget[P]):
    """Base: finds the partial axes of an image array and lets `complete` treat them."""

    properties_type: ClassVar[type[Properties]] = PartialFourierProperties
    accepts: ClassVar[tuple[type, ...]] = (ImageArray,)
    pure: ClassVar[bool] = True

    def __init__(self, properties: P, context: Context) -> None:
        super().__init__(properties, context)
        self.accelerations = [_acceleration(encoding) for encoding in context.header.encoding]

    def process(self, item: ImageArray) -> Iterable[Item]:
        """Complete the images' k-space, where it is partial."""
        skip = getattr(self.properties, "skip_processing_meta_field", SKIP_PROCESSING)
        if skip in attributes(item):
            return [item]
        encoding = encoding_space(item, len(self.accelerations))
        limits = sampling_limits(item)
        sampled = {
            axis: SampledRange(limit.minimum, limit.maximum)
            for axis, limit in limits.items()
            if is_partial(limit, item.data.shape[axis], axis, self.accelerations[encoding])
        }
        if not sampled:
            return [item]
        return [replace(item, data=self.complete(item.data, sampled, tuple(limits)))]

    def complete(self, images: Any, sampled: Sampled, axes: tuple[int, ...]) -> Any:
        """Images of completed k-space.

        Args:
            images: complex64, (LOC, S, N, CHA, z, y, x).
            sampled: what was sampled, along the partial axes (-1 readout, -2 E1, -3 E2).
            axes: all encoded axes.
        """
        raise NotImplementedError


def is_partial(limit: SamplingLimit, n: int, axis: int, acceleration: tuple[int, int]) -> bool:
    """Whether an axis is partial Fourier.

    The readout is whenever samples are missing (asymmetric echo). E1 and E2 are where the
    missing lines are on one side; lines missing on both are a lower resolution.
    """
    if limit.minimum == 0 and limit.maximum == n - 1:
        return False
    if axis == -1:
        return True
    asymmetry = abs((limit.maximum - n // 2) - (n // 2 - limit.minimum))
    return asymmetry > acceleration[0 if axis == -2 else 1]


def _acceleration(encoding: Any) -> tuple[int, int]:
    if encoding.parallelImaging is None:
        return 1, 1
    factor = encoding.parallelImaging.accelerationFactor
    return factor.kspace_encoding_step_1, factor.kspace_encoding_step_2
