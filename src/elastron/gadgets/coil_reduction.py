"""Keep some of the receiver channels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from pydantic import Field

from elastron.errors import ConfigError, DataError
from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch


class CoilReductionProperties(Properties):
    """Properties of `CoilReductionGadget`.

    Attributes:
        coil_mask: which channels to keep, e.g. `1 0 0 1` (or `1001`); those not named are
            dropped. Empty: the first `coils_out`.
        coils_out: how many channels to keep when there is no mask.
    """

    coil_mask: str = Field("", pattern=r"^[01\s]*$", max_length=4096)
    coils_out: int = Field(128, ge=1)


class CoilReductionGadget(Gadget[CoilReductionProperties]):
    """Drops channels by a mask, or all above a number."""

    properties_type = CoilReductionProperties
    hybrid = Hybrid.PASSES
    accepts = (AcquisitionBatch,)
    streaming = True
    pure = True

    def __init__(self, properties: CoilReductionProperties, context: Context) -> None:
        super().__init__(properties, context)
        mask = np.array([digit == "1" for digit in properties.coil_mask if not digit.isspace()])
        if mask.size and not mask.any():
            raise ConfigError("CoilReductionGadget: coil_mask drops every channel")
        self._keep = np.flatnonzero(mask) if mask.size else np.arange(properties.coils_out)

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        """Reduce one batch."""
        keep = self._keep[self._keep < item.data.shape[1]]
        if not len(keep):
            raise DataError(
                f"CoilReduction: the data have {item.data.shape[1]} channels, and coil_mask "
                "keeps none of them"
            )
        if len(keep) == item.data.shape[1]:
            yield item
            return
        headers = item.headers.copy()
        headers["active_channels"] = len(keep)
        yield replace(item, headers=headers, data=item.data[:, keep])
