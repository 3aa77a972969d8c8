"""The merge that takes what comes first."""

from __future__ import annotations

from collections.abc import Iterator

from elastron.gadgets.base import Item, Properties
from elastron.gadgets.branching import Merge, Streams


class UnorderedMerge(Merge[Properties]):
    """Put out the items of all streams as they come; the order within a stream is kept."""

    def merge(self, streams: Streams) -> Iterator[Item]:
        """All items in order of arrival."""
        for _, item in streams.as_ready():
            yield item
