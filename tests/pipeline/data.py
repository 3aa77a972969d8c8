"""Small items for chains."""

from __future__ import annotations

import numpy as np

from elastron.gadgets.base import Item
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch


def batch(number: int, samples: int = 4) -> AcquisitionBatch:
    """One readout whose scan counter is `number`."""
    headers = np.zeros(1, ACQUISITION_HEADER)
    headers["scan_counter"] = number
    return AcquisitionBatch(headers, np.zeros((1, 1, samples), np.complex64))


def number(item: Item) -> int:
    """Scan counter of a batch of one readout."""
    assert isinstance(item, AcquisitionBatch)
    return int(item.headers["scan_counter"][0])
