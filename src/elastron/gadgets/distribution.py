"""What a config's `<distributed>` node is made of, besides its stream: a distributor.

A distributor cuts the data into parts; each part goes through the node's stream by itself, as a
rule on another node. It sees plain items and knows nothing of nodes; `elastron.pipeline` moves
the parts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Literal

from elastron.gadgets.base import Gadget, Item, P, Properties


class DistributorProperties(Properties):
    """Properties every distributor has.

    Attributes:
        output_order: `part`: what the first part becomes comes first, whichever node was faster;
            `arrival`: as it comes, as in the original.
    """

    output_order: Literal["part", "arrival"] = "part"


class Distributor(Gadget[P]):
    """Base of distributors: `accepts` and `split`. Items not accepted go round the stream."""

    properties_type = DistributorProperties

    def split(self, item: Any) -> Iterable[tuple[Hashable, Item]]:
        """Cut an item by the parts it belongs to.

        Args:
            item: of a type in `accepts`.

        Returns:
            (key of the part, what belongs to it); parts are numbered in order of their first item.
        """
        raise NotImplementedError

    def completes(self, item: Any) -> bool:
        """Whether an item of `split` looks like the last one of its part.

        A guess only, and used as such: the part is worked on at once, and once more should data
        follow after all.
        """
        return False
