"""Fill asymmetric echoes with zeros, so that their centre stands in the middle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from elastron.errors import DataError
from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag


class AsymmetricEchoAdjustROGadget(Gadget[Properties]):
    """Pads readouts shorter than the encoded matrix, on the side where samples are missing.

    `discard_pre` or `discard_post` says how many zeros were added. Noise readouts, complete
    readouts and those without a centre pass unchanged.
    """

    accepts = (AcquisitionBatch,)
    streaming = True
    mixing = Hybrid.PASSES

    def __init__(self, properties: Properties, context: Context) -> None:
        super().__init__(properties, context)
        self._lengths = [int(e.encodedSpace.matrixSize.x) for e in context.header.encoding]

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        """Pad one batch; readouts of different centre or encoding space are split."""
        headers = item.headers
        if len(item) and _is_complete(item):
            return (item,)
        noise = item.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT)
        runs = item.runs(headers["center_sample"], headers["encoding_space_ref"], noise)
        return [self._padded(run) for run in runs]

    def _padded(self, batch: AcquisitionBatch) -> AcquisitionBatch:
        n_samples = batch.data.shape[-1]
        if batch.any_flag(AcquisitionFlag.IS_NOISE_MEASUREMENT)[0]:
            return batch
        centre = int(batch.headers["center_sample"][0])
        if 2 * centre == n_samples or centre >= n_samples:
            return batch
        space = int(batch.headers["encoding_space_ref"][0])
        if space >= len(self._lengths):
            raise DataError(
                f"AsymmetricEchoAdjustRO: a readout refers to encoding space {space}; the header "
                f"describes {len(self._lengths)}"
            )
        length = self._lengths[space]
        if n_samples >= length:
            return batch
        missing = length - n_samples
        before = missing if 2 * centre < n_samples else 0
        data = np.zeros((*batch.data.shape[:-1], length), np.complex64)
        data[..., before : before + n_samples] = batch.data
        headers = batch.headers.copy()
        headers["discard_pre"] = before
        headers["discard_post"] = missing - before
        headers["number_of_samples"] = length
        headers["center_sample"] = length // 2
        trajectory = batch.trajectory
        if trajectory is not None:
            padded = np.zeros((len(batch), length, trajectory.shape[-1]), np.float32)
            padded[:, before : before + n_samples] = trajectory
            trajectory = padded
        return replace(batch, headers=headers, data=data, trajectory=trajectory)


def _is_complete(batch: AcquisitionBatch) -> bool:
    """Whether no readout lacks samples, as in nearly every scan."""
    n_samples = batch.data.shape[-1]
    centre = batch.headers["center_sample"]
    return bool(((centre == n_samples / 2) | (centre >= n_samples)).all())
