"""A gadget that takes its time with each part; `benchmarks.distributed` installs it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from elastron.gadgets.base import Gadget, Item, Properties


class PartProperties(Properties):
    seconds: float = 0.2


class PartGadget(Gadget[PartProperties]):
    """Sleeps once all of its input is there, then puts the first item out."""

    properties_type = PartProperties

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        kept = list(items)
        time.sleep(self.properties.seconds)
        yield from kept[:1]
