"""Virtual channels by principal components, computed from the first readouts of each slice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.recon.eigen_channels import combine_channels, eigen_channels

#: Readouts of a slice the components are computed from (fewer when the slice ends before).
BUFFERED_READOUTS = 100
#: Samples of each readout, around its centre; all, when there are fewer than 16 readouts.
SAMPLES_USED = 16


class PCACoilProperties(Properties):
    """Properties of `PCACoilGadget`.

    Attributes:
        uncombined_channels_by_name: comma-separated coil names that stay as they are, and come
            first.
        present_uncombined_channels: set by the original at run time; read by nothing here.
    """

    uncombined_channels_by_name: str = ""
    present_uncombined_channels: int = 0


class PCACoilGadget(Gadget[PCACoilProperties]):
    """Rotates the channels of each slice onto their principal components, strongest first.

    The number of channels stays; `CoilReductionGadget` drops the weak ones. Noise readouts are
    dropped. A slice whose last readout does not say so is treated at the end of the scan (the
    original loses it).
    """

    properties_type = PCACoilProperties
    accepts = (AcquisitionBatch,)

    def __init__(self, properties: PCACoilProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._waiting: dict[int, list[AcquisitionBatch]] = {}
        self._rotations: dict[int, np.ndarray] = {}
        wanted = {name.strip() for name in properties.uncombined_channels_by_name.split(",")}
        system = context.header.acquisitionSystemInformation
        labels = system.coilLabel if system is not None else []
        self._uncombined = [i for i, label in enumerate(labels) if label.coilName in wanted]

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        """Rotate, or keep until there is enough to compute the rotation from."""
        imaging = ~item.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT)
        if not imaging.all():
            item = item.select(imaging)
        for run in item.runs(item.counter("slice")):
            yield from self._slice_part(int(run.counter("slice")[0]), run)

    def _slice_part(self, location: int, batch: AcquisitionBatch) -> Iterable[Item]:
        """Treat readouts of one slice."""
        rotation = self._rotations.get(location)
        if rotation is not None:
            yield _rotated(batch, rotation)
            return
        waiting = self._waiting.setdefault(location, [])
        before = sum(map(len, waiting))
        last = np.flatnonzero(batch.any_flag(AcquisitionFlag.LAST_IN_SLICE))
        enough = min(
            int(last[0]) + 1 if len(last) else len(batch) + 1, max(1, BUFFERED_READOUTS - before)
        )
        waiting.append(batch.select(slice(0, enough)))
        if enough <= len(batch):
            yield from self._release(location)
            if enough < len(batch):
                yield _rotated(batch.select(slice(enough, None)), self._rotations[location])

    def _release(self, location: int) -> Iterable[Item]:
        waiting = self._waiting.pop(location)
        rotation = self._rotations[location] = self._rotation(waiting)
        for batch in waiting:
            yield _rotated(batch, rotation)

    def _rotation(self, batches: list[AcquisitionBatch]) -> np.ndarray:
        """Columns are virtual channels; complex64, (channels, channels)."""
        # The centre is the last readout's, as in the original.
        centre = int(batches[-1].headers["center_sample"][-1])
        n_readouts = sum(map(len, batches))
        parts = []
        for batch in batches:
            n_samples = batch.data.shape[-1]
            used = min(SAMPLES_USED, n_samples) if n_readouts >= 16 else n_samples
            start = min(max(0, centre - used // 2), n_samples - used)
            part = batch.data[..., start : start + used]
            parts.append(np.moveaxis(part, 1, 0).reshape(part.shape[1], -1))
        samples = np.concatenate(parts, axis=1)
        n_channels = len(samples)
        uncombined = [channel for channel in self._uncombined if channel < n_channels]
        combined = np.setdiff1d(np.arange(n_channels), uncombined)
        rotation = np.zeros((n_channels, n_channels), np.complex64)
        rotation[uncombined, np.arange(len(uncombined))] = 1
        if len(combined):
            _values, vectors = eigen_channels(samples[combined])
            rotation[np.ix_(combined, np.arange(len(uncombined), n_channels))] = vectors
        return rotation

    def finish(self) -> Iterable[Item]:
        """Slices that ended without saying so."""
        for location in list(self._waiting):
            yield from self._release(location)


def _rotated(batch: AcquisitionBatch, rotation: np.ndarray) -> AcquisitionBatch:
    return replace(batch, data=combine_channels(batch.data, rotation))
