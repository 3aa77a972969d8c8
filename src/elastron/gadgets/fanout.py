"""Branches that hand every item to all streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from elastron.gadgets.base import Hybrid, Item, Properties
from elastron.gadgets.branching import Branch
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.buffers import Bucket
from elastron.mrd.image import Image
from elastron.mrd.waveform import Waveform


class _Fanout(Branch[Properties]):
    """Every accepted item goes to all streams. They share it: items are not to be changed."""

    hybrid = Hybrid.PASSES

    def route(self, item: Item, keys: Sequence[str]) -> Iterable[str]:
        """All keys."""
        return keys


class AcquisitionFanout(_Fanout):
    """Fan out readouts, single or accumulated (the original's `Acquisition` and `Slice`)."""

    accepts = (AcquisitionBatch, Bucket)


class WaveformFanout(_Fanout):
    """Fan out waveforms."""

    accepts = (Waveform,)


class ImageFanout(_Fanout):
    """Fan out images."""

    accepts = (Image,)
