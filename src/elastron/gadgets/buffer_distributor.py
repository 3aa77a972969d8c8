"""Parts of sorted k-space by encoding space."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from elastron.gadgets.base import Item
from elastron.gadgets.distribution import Distributor, DistributorProperties
from elastron.mrd.buffers import ReconData


class BufferDistributor(Distributor[DistributorProperties]):
    """A part for each encoding space, in a `<distributed>` node."""

    accepts = (ReconData,)

    def split(self, item: ReconData) -> Iterator[tuple[Hashable, Item]]:
        """Each encoding space's data by itself."""
        for space, bit in enumerate(item.bits):
            yield space, ReconData([bit])
