"""Collect the readouts of a slice into one multi-channel k-space image."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from elastron.errors import DataError, HeaderError
from elastron.gadgets.base import Context, Gadget, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag
from elastron.mrd.image import IMAGE_HEADER, Image, ImageDataType

#: Bytes of all slices together.
BUFFER_BYTES_MAX = 32 << 30

_COPIED = ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position")


class AccumulatorProperties(Properties):
    """Properties of `AccumulatorGadget`.

    Attributes:
        image_series: series of the images.
    """

    image_series: int = 0


class AccumulatorGadget(Gadget[AccumulatorProperties]):
    """Puts out k-space as an image (channels, z, y, x) after the last readout of each slice.

    For scans of one encoding space. As in the original, lines stay until others replace them.
    """

    properties_type = AccumulatorProperties
    accepts = (AcquisitionBatch,)

    def __init__(self, properties: AccumulatorProperties, context: Context) -> None:
        super().__init__(properties, context)
        if len(context.header.encoding) != 1:
            raise HeaderError(
                f"AccumulatorGadget takes scans of one encoding space; the MRD header describes "
                f"{len(context.header.encoding)}"
            )
        encoding = context.header.encoding[0]
        encoded, recon = encoding.encodedSpace, encoding.reconSpace
        self._size = (encoded.matrixSize.z, encoded.matrixSize.y, recon.matrixSize.x)
        self._fov = (recon.fieldOfView_mm.x, encoded.fieldOfView_mm.y, encoded.fieldOfView_mm.z)
        slices = encoding.encodingLimits.slice
        self._n_slices = 1 if slices is None else slices.maximum + 1
        self._buffer: np.ndarray | None = None
        self._n_images = 0

    def process(self, item: AcquisitionBatch) -> Iterable[Item]:
        """File one batch."""
        last = np.flatnonzero(item.any_flag(AcquisitionFlag.LAST_IN_SLICE)) + 1
        for start, stop in pairwise([0, *last.tolist(), len(item)]):
            if start == stop:
                continue
            self._file(item.select(slice(start, stop)))
            if stop in last:
                yield self._image(item.headers[stop - 1])

    def _file(self, batch: AcquisitionBatch) -> None:
        _, channels, samples = batch.data.shape
        shape = (self._n_slices, channels, *self._size)
        if self._buffer is None:
            if math.prod(shape) * 8 > BUFFER_BYTES_MAX:
                raise DataError(
                    f"accumulating {shape} (slices, channels, z, y, x) would take "
                    f"{math.prod(shape) * 8 / 1e9:.3g} GB; check the MRD header's matrix sizes"
                )
            self._buffer = np.zeros(shape, np.complex64)
        if channels != self._buffer.shape[1]:
            raise DataError(
                f"readout {batch.headers['scan_counter'][0]} has {channels} channels, those "
                f"before had {self._buffer.shape[1]}"
            )
        limits = {
            "slice": self._n_slices,
            "kspace_encode_step_2": self._size[0],
            "kspace_encode_step_1": self._size[1],
        }
        index = []
        for name, limit in limits.items():
            values = batch.counter(name).astype(np.intp)
            if (values >= limit).any():
                row = int(np.argmax(values >= limit))
                raise DataError(
                    f"readout {batch.headers['scan_counter'][row]} has {name} {values[row]}; the "
                    f"MRD header encodes {limit}"
                )
            index.append(values)
        width = self._size[2]
        offsets = width // 2 - batch.headers["center_sample"].astype(np.intp)
        if (offsets < 0).any() or (offsets + samples > width).any():
            raise DataError(
                f"a readout of {samples} samples around center_sample "
                f"{batch.headers['center_sample'][0]} does not fit {width} points; put "
                "RemoveROOversamplingGadget before AccumulatorGadget"
            )
        location, z, y = index
        for offset in np.unique(offsets).tolist():
            rows = np.flatnonzero(offsets == offset)
            line = slice(offset, offset + samples)
            self._buffer[location[rows], :, z[rows], y[rows], line] = batch.data[rows]

    def _image(self, last: np.ndarray) -> Image:
        """The slice that `last` ended."""
        assert self._buffer is not None  # noqa: S101 - `last` has been filed
        location = int(last["idx"]["slice"])
        header = np.zeros((), IMAGE_HEADER)
        header["version"] = 1
        header["data_type"] = ImageDataType.CXFLOAT
        header["matrix_size"] = self._size[::-1]
        header["field_of_view"] = self._fov
        header["channels"] = self._buffer.shape[1]
        header["slice"] = location
        for name in _COPIED:
            header[name] = last[name]
        self._n_images += 1
        header["image_index"] = self._n_images & 0xFFFF
        header["image_series_index"] = self.properties.image_series & 0xFFFF
        return Image(header, self._buffer[location].copy())
