"""Results of a part that is worked on again: those that were put out before are left out."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

from elastron.gadgets.base import Item
from elastron.mrd.acquisition import AcquisitionBatch, raw_headers
from elastron.mrd.image import Image
from elastron.wire import encode, message_id


class Once:
    """A multiset of results, told apart by kind and header.

    Pixels are not looked at: another machine's may differ in the last bit.
    """

    def __init__(self) -> None:
        self._put_out: Counter[bytes] = Counter()
        self._expected: Counter[bytes] = Counter()

    def put_out(self, item: Item) -> None:
        """Note a result that went out."""
        self._put_out.update(_names(item))

    def again(self) -> None:
        """The part is worked on again from its start."""
        self._expected = self._put_out.copy()

    def new(self, item: Item) -> Item | None:
        """What of a result has not been put out before; None for nothing."""
        if not self._expected:
            return item
        kept = [row for row, name in enumerate(_names(item)) if not self._strike(name)]
        if not kept:
            return None
        if isinstance(item, AcquisitionBatch) and len(kept) < len(item):
            return item.select(np.array(kept))
        return item

    def _strike(self, name: bytes) -> bool:
        if self._expected[name] <= 0:
            return False
        self._expected[name] -= 1
        if not self._expected[name]:
            del self._expected[name]
        return True


def _names(item: Item) -> list[bytes]:
    """One name a message: a batch is as many as it has readouts, however it was cut."""
    if isinstance(item, AcquisitionBatch):
        return [row.tobytes() for row in raw_headers(np.ascontiguousarray(item.headers))]
    if isinstance(item, Image):
        return [b"image" + item.header.tobytes()]
    digest = hashlib.sha256(str(message_id(item)).encode())
    for buffer in encode(item):
        digest.update(buffer)
    return [digest.digest()]
