"""Inverse Fourier transform and root sum of squares."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.mrd.acquisition import ReadoutDomain
from elastron.mrd.buffers import DataBuffered, ImageArray, ReconData
from elastron.mrd.image import IMAGE_HEADER, ImageDataType
from elastron.recon.sum_of_squares import magnitude_image

_COPIED = (
    "measurement_uid",
    "acquisition_time_stamp",
    "position",
    "read_dir",
    "phase_dir",
    "slice_dir",
    "patient_table_position",
)
_COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set")


class SimpleReconGadget(Gadget[Properties]):
    """Images of fully sampled k-space; calibration data is ignored.

    Image headers are taken from the readout in the centre of k-space (where that one is missing,
    which the original answers with an empty header, from the nearest). The k-space is used up.
    """

    hybrid = Hybrid.CONSUMES
    accepts = (ReconData,)

    def __init__(self, properties: Properties, context: Context) -> None:
        super().__init__(properties, context)
        self._n_images = 0

    def process(self, item: ReconData) -> Iterable[Item]:
        """Reconstruct all encoding spaces."""
        for bit in item.bits:
            if bit.data.data.size:
                yield self._reconstruct(bit.data)

    def _reconstruct(self, buffered: DataBuffered) -> ImageArray:
        data = buffered.data
        locations, sets, repeats, _, *size = data.shape
        axes = (1, 2) if buffered.readout_domain is ReadoutDomain.IMAGE else (1, 2, 3)
        images = np.empty((locations, sets, repeats, 1, *size), np.complex64)
        headers = np.zeros((locations, sets, repeats), IMAGE_HEADER)
        for index in np.ndindex(locations, sets, repeats):
            images[index][0] = magnitude_image(
                data[index], axes, threads=self.context.threads, overwrite=True
            )
            header = image_header_of(buffered, index)
            self._n_images += 1
            header["image_index"] = self._n_images & 0xFFFF
            headers[index] = header
        return ImageArray(images, headers, meta=[])


def image_header_of(buffered: DataBuffered, index: tuple[int, ...]) -> np.ndarray:
    """Header of the image reconstructed from one (LOC, S, N) of sorted k-space.

    Returns:
        `IMAGE_HEADER`, shape (), for one channel of complex numbers; no type, index or series.
    """
    header = np.zeros((), IMAGE_HEADER)
    *_, depth, height, width = buffered.data.shape
    acquisition = _central(buffered, index)
    header["version"] = 1
    header["data_type"] = ImageDataType.CXFLOAT
    header["matrix_size"] = (width, height, depth)
    header["field_of_view"] = buffered.sampling.recon_fov
    header["channels"] = 1
    for name in _COPIED:
        header[name] = acquisition[name]
    for name in _COUNTERS:
        header[name] = acquisition["idx"][name]
    return header


def _central(buffered: DataBuffered, index: tuple[int, ...]) -> np.ndarray:
    """The header filed at the centre of k-space, or the nearest one that was acquired."""
    headers = buffered.headers[index]
    _, e1, e2 = (limit.center for limit in buffered.sampling.limits)
    if e2 < headers.shape[0] and e1 < headers.shape[1] and headers[e2, e1]["number_of_samples"]:
        return headers[e2, e1]
    acquired = np.argwhere(headers["number_of_samples"] > 0)
    if not len(acquired):
        return headers[0, 0]
    distance = ((acquired - (e2, e1)) ** 2).sum(axis=1)
    z, y = acquired[int(np.argmin(distance))]
    return headers[z, y]
