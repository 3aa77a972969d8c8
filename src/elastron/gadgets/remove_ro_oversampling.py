"""Crop oversampled readouts to the field of view of the reconstruction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from elastron.errors import DataError, HeaderError
from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.mrd.acquisition import (
    ACQUISITION_HEADER,
    AcquisitionBatch,
    AcquisitionFlag,
    ReadoutDomain,
    raw_headers,
)
from elastron.recon.fft import fft
from elastron.recon.oversampling import cropped_length, remove_oversampling, resample_trajectory
from elastron.recon.prewhitening import mix_channels


class RemoveROOversamplingGadget(Gadget[Properties]):
    """Transforms readouts, keeps the centre, and transforms back.

    The ratio is encoded to reconstructed field of view of the first encoding space, as in the
    Gadgetron. Where the rest of the chain takes it (`Context.hybrid_output`), whole Cartesian
    readouts are left in image space; those of which a part is to be discarded never are.

    Unlike the original, a trajectory is resampled with the readout (there it kept its length),
    and a reconstructed field of view larger than the encoded one is refused (there it crashes).
    """

    hybrid = Hybrid.PASSES
    mixing = Hybrid.CONSUMES
    accepts = (AcquisitionBatch,)
    streaming = True

    def __init__(self, properties: Properties, context: Context) -> None:
        super().__init__(properties, context)
        self._ratio = 1.0
        self._leave_in_image_space = False
        if not context.header.encoding:
            context.log.warning("RemoveROOversampling: the MRD header describes no encoding")
            return
        encoding = context.header.encoding[0]
        encoded, recon = encoding.encodedSpace, encoding.reconSpace
        same_matrix = encoded.matrixSize.x == recon.matrixSize.x
        fov_in, fov_out = encoded.fieldOfView_mm.x, recon.fieldOfView_mm.x
        if not (same_matrix and fov_in == fov_out):
            if not (fov_out > 0 and fov_in >= fov_out):
                raise HeaderError(
                    f"RemoveROOversampling: the reconstructed field of view along the readout, "
                    f"{fov_out} mm, must be above 0 and not larger than the encoded one, "
                    f"{fov_in} mm (reconSpace and encodedSpace of the first encoding)"
                )
            self._ratio = fov_in / fov_out
        trajectory = getattr(encoding.trajectory, "value", encoding.trajectory)
        self._leave_in_image_space = context.hybrid_output and trajectory == "cartesian"

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        """Crop one batch, and mix what is left of its channels: that is less than all of them."""
        for batch in self._cropped(item):
            if batch.mixing is None:
                yield batch
            else:
                yield replace(batch, data=mix_channels(batch.mixing, batch.data), mixing=None)

    def _cropped(self, item: AcquisitionBatch) -> Iterable[AcquisitionBatch]:
        n_in = item.data.shape[-1]
        n_out = cropped_length(n_in, self._ratio)
        if n_out < 1 <= n_in:
            raise DataError(
                f"RemoveROOversampling: a readout of {n_in} samples (scan counter "
                f"{item.headers['scan_counter'][0]}) is shorter than the oversampling, "
                f"{self._ratio:g}"
            )
        if not len(item) or not item.data.size:
            yield item
            return
        untouched = item
        # All further looks are at a copy, which lies together.
        item = replace(item, headers=raw_headers(item.headers).copy().view(ACQUISITION_HEADER))
        hybrid = self._leave_in_image_space and _whole(item, n_in)
        if item.readout_domain is ReadoutDomain.IMAGE:
            yield from self._crop_image(item, n_out, hybrid=hybrid)
            return
        if n_out == n_in and not hybrid:
            yield untouched
            return
        data = remove_oversampling(
            item.data, n_out, to_kspace=not hybrid, threads=self.context.threads
        )
        yield self._batch(item, data, n_out, hybrid=hybrid)

    def _crop_image(
        self, item: AcquisitionBatch, n_out: int, *, hybrid: bool
    ) -> Iterable[AcquisitionBatch]:
        """The same for readouts that already are in image space."""
        n_in = item.data.shape[-1]
        start = (n_in - n_out) // 2
        data = np.ascontiguousarray(item.data[..., start : start + n_out])
        if not hybrid:
            data = fft(data, -1, threads=self.context.threads)
        yield self._batch(item, data, n_out, hybrid=hybrid)

    def _batch(
        self, item: AcquisitionBatch, data: np.ndarray, n_out: int, *, hybrid: bool
    ) -> AcquisitionBatch:
        """The batch with other samples; its headers are changed."""
        domain = ReadoutDomain.IMAGE if hybrid else ReadoutDomain.KSPACE
        trajectory = item.trajectory
        headers = item.headers
        if n_out != item.data.shape[-1]:
            ratio = np.float32(self._ratio)
            headers["number_of_samples"] = n_out
            for name in ("center_sample", "discard_pre", "discard_post"):
                if headers[name].any():
                    headers[name] = (headers[name].astype(np.float32) / ratio).astype(np.uint16)
            if trajectory is not None:
                trajectory = resample_trajectory(trajectory, n_out)
        return replace(
            item, headers=headers, data=data, trajectory=trajectory, readout_domain=domain
        )


def _whole(batch: AcquisitionBatch, n_samples: int) -> bool:
    """Whether all readouts are complete, centred and forward: sorting needs no sample cut."""
    headers = batch.headers
    centre = headers["center_sample"]
    return bool(
        batch.trajectory is None
        and not headers["discard_pre"].any()
        and not headers["discard_post"].any()
        and ((centre == n_samples // 2) | (centre >= n_samples)).all()
        and not batch.any_flag(AcquisitionFlag.IS_REVERSE).any()
    )
