"""The end of a chain."""

from __future__ import annotations

from collections.abc import Iterable

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.wire.messages import Text


class ImageFinishGadget(Gadget[Properties]):
    """Lets everything pass but texts, which go to the log."""

    pure = True
    accepts = (Text,)

    def process(self, item: Text) -> Iterable[Item]:
        """Log a text."""
        self.context.log.debug("text at the end of the chain", length=len(item.text))
        return ()
