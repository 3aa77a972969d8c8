"""SliceAccumulator: all readouts of a slice together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.mrd.buffers import Bucket


class SliceAccumulator(Gadget[Properties]):
    """Puts out a bucket after each readout flagged as the last of its slice.

    The bucket's data are the slice's readouts in order of arrival, calibration lines included.
    Readouts after the last flag are dropped with a warning, as an incomplete slice.
    """

    hybrid: ClassVar[Hybrid] = Hybrid.PASSES
    accepts: ClassVar[tuple[type, ...]] = (AcquisitionBatch,)

    def __init__(self, properties: Properties, context: Context) -> None:
        super().__init__(properties, context)
        self._batches: list[AcquisitionBatch] = []

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        """Cut the stream after the flagged readouts."""
        start = 0
        for last in np.flatnonzero(item.any_flag(AcquisitionFlag.LAST_IN_SLICE)).tolist():
            self._batches.append(item.select(slice(start, last + 1)))
            yield Bucket(data=self._batches)
            self._batches, start = [], last + 1
        if start < len(item):
            self._batches.append(item.select(slice(start, None)))

    def finish(self) -> Iterable[Item]:
        """Nothing more comes; warn of what was left."""
        if self._batches:
            readouts = sum(map(len, self._batches))
            self.context.log.warning(
                "incomplete slice dropped: no LAST_IN_SLICE flag", readouts=readouts
            )
        return ()
