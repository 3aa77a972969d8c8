"""What a config's `<parallel>` node is made of, besides gadgets: a branch and a merge.

A branch hands every item it accepts to some of the node's streams; a merge joins what the streams
put out. Both see plain items and need no threads; `elastron.pipeline.run` moves the data.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

from elastron.gadgets.base import Gadget, Item, P


class Streams(Mapping[str, Iterator[Item]]):
    """The outputs of a parallel node's streams, by key.

    Iterating over one stream waits for that stream alone; `as_ready` takes what comes first.
    """

    @abstractmethod
    def as_ready(self) -> Iterator[tuple[str, Item]]:
        """(key, item) of all streams in order of arrival, until all have ended."""


class Branch(Gadget[P]):
    """Base of branches: `accepts` and `route`. Items not accepted go round the streams."""

    def route(self, item: Item, keys: Sequence[str]) -> Iterable[str]:
        """The keys of the streams that get `item`.

        Args:
            item: of a type in `accepts`.
            keys: of the node's streams, in the config's order.
        """
        raise NotImplementedError


class Merge(Gadget[P]):
    """Base of merges: override `merge`."""

    def merge(self, streams: Streams) -> Iterator[Item]:
        """Join the streams' outputs.

        Args:
            streams: key -> iterator; may be read in any order and any interleaving. Items of
                types the merge has no use for should be passed on.
        """
        raise NotImplementedError
