"""GenericReconKSpaceFilteringGadget: windows over the k-space of image arrays.

Behaviour follows Gadgetron 4.7.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.gadgets.generic_recon_base import SKIP_PROCESSING, GenericReconProperties
from elastron.gadgets.image_array_attributes import attributes, encoding_space, sampling_limits
from elastron.mrd.buffers import ImageArray, SamplingLimit
from elastron.recon.filters import FilterType, filter_images, sampled_filter

_NAMES = {kind.value.lower(): kind for kind in FilterType}


def _filter_type(value: Any) -> Any:
    """Configs write the names in any case."""
    return _NAMES.get(value.lower(), value) if isinstance(value, str) else value


_Filter = Annotated[FilterType, BeforeValidator(_filter_type)]
_Width = Annotated[float, Field(ge=0, le=1)]


class KSpaceFilteringProperties(GenericReconProperties):
    """One window an axis: its type, sigma (Gaussian), flank as a share (TaperedHanning)."""

    skip_processing_meta_field: str = SKIP_PROCESSING
    filterRO: _Filter = FilterType.GAUSSIAN  # noqa: N815
    filterRO_sigma: float = 1.0  # noqa: N815
    filterRO_width: _Width = 0.15  # noqa: N815
    filterE1: _Filter = FilterType.GAUSSIAN  # noqa: N815
    filterE1_sigma: float = 1.0  # noqa: N815
    filterE1_width: _Width = 0.15  # noqa: N815
    filterE2: _Filter = FilterType.GAUSSIAN  # noqa: N815
    filterE2_sigma: float = 1.0  # noqa: N815
    filterE2_width: _Width = 0.15  # noqa: N815


class GenericReconKSpaceFilteringGadget(Gadget[KSpaceFilteringProperties]):
    """Filter image arrays; maps that say so in their attributes pass by."""

    properties_type: ClassVar[type[Properties]] = KSpaceFilteringProperties
    accepts: ClassVar[tuple[type, ...]] = (ImageArray,)
    pure: ClassVar[bool] = True

    def process(self, item: ImageArray) -> Iterable[Item]:
        """Filter the images' k-space along each axis whose filter is not `None`."""
        properties = self.properties
        if properties.skip_processing_meta_field in attributes(item):
            return [item]
        encoding_space(item, len(self.context.header.encoding))
        windows = {}
        for axis, limit in sampling_limits(item).items():
            name = {-1: "RO", -2: "E1", -3: "E2"}[axis]
            kind = getattr(properties, f"filter{name}")
            if kind is not FilterType.NONE:
                sigma = getattr(properties, f"filter{name}_sigma")
                width = getattr(properties, f"filter{name}_width")
                windows[axis] = _window(item.data.shape[axis], limit, kind, sigma, width)
        filtered = filter_images(item.data, windows, threads=self.context.threads)
        return [replace(item, data=filtered)]


@lru_cache(maxsize=64)
def _window(
    n: int, limit: SamplingLimit, kind: FilterType, sigma: float, width: float
) -> np.ndarray:
    return sampled_filter(n, limit.minimum, limit.maximum, kind, sigma=sigma, width=width)
