"""ImageAccumulator: aliased channel images of a slice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.gadgets.line_grid import LineGrid, same_shape
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag, ReadoutDomain
from elastron.mrd.buffers import Bucket, ImageArray
from elastron.mrd.image import IMAGE_HEADER, ImageDataType
from elastron.mrd.meta import Meta
from elastron.recon.fft import ifft


class ImageAccumulator(Gadget[Properties]):
    """Sorts a slice's imaging readouts into k-space and transforms it.

    Puts out one `ImageArray` (1, 1, 1, channels, 1, y, x) per bucket, for `Unmixing`.
    """

    hybrid: ClassVar[Hybrid] = Hybrid.CONSUMES
    accepts: ClassVar[tuple[type, ...]] = (Bucket,)

    def __init__(self, properties: Properties, context: Context) -> None:
        super().__init__(properties, context)
        self._grid = LineGrid(context.header)

    def process(self, item: Bucket) -> Iterable[Item]:
        """One image for each bucket that holds imaging readouts."""
        batches = [
            batch.select(~batch.any_flag(AcquisitionFlag.IS_PARALLEL_CALIBRATION))
            for batch in item.data
        ]
        batches = [batch for batch in batches if len(batch)]
        if not batches:
            return
        same_shape(batches)
        channels = batches[0].data.shape[1]
        # In memory (lines, channels, samples): readouts are copied as they come.
        kspace = np.zeros((self._grid.lines, channels, self._grid.samples), np.complex64)
        for batch in batches:
            kspace[self._grid.place(batch)] = batch.data
        axes = [0] if batches[0].readout_domain is ReadoutDomain.IMAGE else [0, 2]
        images = ifft(kspace, axes, threads=self.context.threads, overwrite=True)
        data = np.moveaxis(images, 1, 0)[None, None, None, :, None]
        yield ImageArray(data, self._header(batches)[None, None, None], [Meta()])

    def _header(self, batches: list[AcquisitionBatch]) -> np.ndarray:
        """Time of the first readout, everything else from the last."""
        first, last = batches[0].headers[0], batches[-1].headers[-1]
        space = self.context.header.encoding[0].reconSpace
        header = np.zeros((), IMAGE_HEADER)
        for name in (
            "version",
            "measurement_uid",
            "position",
            "read_dir",
            "phase_dir",
            "slice_dir",
            "patient_table_position",
            "physiology_time_stamp",
            "user_int",
            "user_float",
        ):
            header[name] = last[name]
        for name in ("average", "slice", "contrast", "phase", "repetition", "set"):
            header[name] = last["idx"][name]
        header["acquisition_time_stamp"] = first["acquisition_time_stamp"]
        header["data_type"] = ImageDataType.CXFLOAT
        header["matrix_size"] = (space.matrixSize.x, space.matrixSize.y, space.matrixSize.z)
        fov = space.fieldOfView_mm
        header["field_of_view"] = (fov.x, fov.y, fov.z)
        header["channels"] = 1
        return header
