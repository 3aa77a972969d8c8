"""Parts of a scan by an encoding counter."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import numpy as np
from ismrmrd.xsd import encodingLimitsType, ismrmrdHeader

from elastron.gadgets.base import Context, Item
from elastron.gadgets.distribution import Distributor, DistributorProperties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.mrd.counters import EncodingCounter

#: Flags that end an index of a dimension.
_LAST_FLAGS = {
    "kspace_encode_step_1": AcquisitionFlag.LAST_IN_ENCODE_STEP1,
    "kspace_encode_step_2": AcquisitionFlag.LAST_IN_ENCODE_STEP2,
    "average": AcquisitionFlag.LAST_IN_AVERAGE,
    "slice": AcquisitionFlag.LAST_IN_SLICE,
    "contrast": AcquisitionFlag.LAST_IN_CONTRAST,
    "phase": AcquisitionFlag.LAST_IN_PHASE,
    "repetition": AcquisitionFlag.LAST_IN_REPETITION,
    "set": AcquisitionFlag.LAST_IN_SET,
    "segment": AcquisitionFlag.LAST_IN_SEGMENT,
}
#: Counters whose loops may bring the same index again.
_LOOPS = ("average", "contrast", "phase", "repetition", "set")


class AcquisitionDistributorProperties(DistributorProperties):
    """Properties of `AcquisitionDistributor`.

    Attributes:
        parallel_dimension: readouts of one value of this counter are one part.
    """

    parallel_dimension: EncodingCounter = "slice"


class AcquisitionDistributor(Distributor[AcquisitionDistributorProperties]):
    """A part for each value of a counter, in a `<distributed>` node; readouts keep their order."""

    properties_type = AcquisitionDistributorProperties
    accepts = (AcquisitionBatch,)

    def __init__(self, properties: AcquisitionDistributorProperties, context: Context) -> None:
        super().__init__(properties, context)
        dimension = properties.parallel_dimension
        self._flags = _ending_flags(context.header, dimension)
        limits = [encoding.encodingLimits for encoding in context.header.encoding]
        self._last = {
            name: last for name in _LOOPS if name != dimension and (last := _last(limits, name))
        }

    def split(self, item: AcquisitionBatch) -> Iterator[tuple[Hashable, Item]]:
        """The readouts of each value, in order of first appearance."""
        values = item.counter(self.properties.parallel_dimension)
        distinct, first = np.unique(values, return_index=True)
        for value in distinct[np.argsort(first)].tolist():
            if len(distinct) == 1:
                yield value, item
                return
            rows = np.flatnonzero(values == value)
            start, stop = int(rows[0]), int(rows[-1]) + 1
            yield value, item.select(slice(start, stop) if stop - start == len(rows) else rows)

    def completes(self, item: AcquisitionBatch) -> bool:
        """The last readout is flagged to end its index, and all loops around are at their end."""
        last = item.select(slice(len(item) - 1, None))
        return (
            bool(self._flags)
            and bool(last.any_flag(*self._flags)[0])
            and all(int(last.counter(name)[0]) >= end for name, end in self._last.items())
        )


def _ending_flags(header: ismrmrdHeader, dimension: str) -> tuple[AcquisitionFlag, ...]:
    flag = _LAST_FLAGS.get(dimension)
    if flag is None:  # user counters have none
        return ()
    limits = [encoding.encodingLimits for encoding in header.encoding]
    if dimension == "repetition" and not _last(limits, "slice"):
        # Many scanners flag only the end of the slice; of a single one that is the end of all.
        return (flag, AcquisitionFlag.LAST_IN_SLICE)
    return (flag,)


def _last(limits: list[encodingLimitsType], name: str) -> int:
    """The highest value of a counter that the header announces; 0 where it is silent."""
    found = [limit for each in limits if (limit := getattr(each, name)) is not None]
    return max((limit.maximum for limit in found), default=0)
