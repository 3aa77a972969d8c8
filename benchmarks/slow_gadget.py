"""A gadget that is slower than any sender; `benchmarks.node` installs it for its node."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.wire.messages import Text


class SlowProperties(Properties):
    seconds: float = 0.003


class SlowGadget(Gadget[SlowProperties]):
    """Sleeps on each batch; at the end tells how many readouts came, and whether in order."""

    properties_type = SlowProperties

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        count, ordered = 0, True
        for item in items:
            time.sleep(self.properties.seconds)
            if isinstance(item, AcquisitionBatch):
                numbers = item.headers["scan_counter"]
                ordered &= bool((numbers == np.arange(count, count + len(item))).all())
                count += len(item)
        yield Text(f"{count} {ordered}")
