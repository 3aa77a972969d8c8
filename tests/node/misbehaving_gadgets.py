"""Gadgets that do what gadgets should not; the harness installs them as a package."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator

import numpy as np

from elastron.gadgets.base import Gadget, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.wire.messages import Text


class SlowProperties(Properties):
    seconds: float = 0.01


class SlowGadget(Gadget[SlowProperties]):
    """Takes its time with each batch; at the end tells what came: readouts, and their order."""

    properties_type = SlowProperties

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        count, ordered = 0, True
        for item in items:
            time.sleep(self.properties.seconds)
            if isinstance(item, AcquisitionBatch):
                numbers = item.headers["scan_counter"]
                ordered &= bool((numbers == np.arange(count, count + len(item))).all())
                count += len(item)
        yield Text(f"readouts {count}, in order {ordered}")


class EchoGadget(Gadget[Properties]):
    """Sends all acquisitions back."""

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        yield from items


class StuckProperties(Properties):
    seconds: float = 3600.0


class StuckGadget(Gadget[StuckProperties]):
    """Works for an hour on its first item, whatever happens."""

    properties_type = StuckProperties

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            time.sleep(self.properties.seconds)
            yield item


class FailProperties(Properties):
    how: str = "raise"


class FailGadget(Gadget[FailProperties]):
    """Fails on its first item: by an exception, a signal, an exit, or for want of memory."""

    properties_type = FailProperties

    def __call__(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            match self.properties.how:
                case "raise":
                    raise ValueError("the gadget's own reason")
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "abort":
                    os.kill(os.getpid(), signal.SIGABRT)
                case "exit":
                    os._exit(3)
                case "memory":
                    np.ones(1 << 40, np.uint8)
            yield item
