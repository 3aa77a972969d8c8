"""The end of a chain."""

from __future__ import annotations

from elastron.gadgets.base import Gadget, Properties


class ImageFinishGadget(Gadget[Properties]):
    """Lets everything pass: it stands where the original's chains end.

    The original's keeps texts for its log. Here they go on to the client, whom they concern.
    """

    pure = True
