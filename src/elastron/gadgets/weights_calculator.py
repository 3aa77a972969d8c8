"""cpuWeightsCalculator: unmixing coefficients from the lines that have come so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from pydantic import Field

from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.gadgets.line_grid import LineGrid, same_shape
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag, ReadoutDomain
from elastron.mrd.buffers import Bucket, ImageArray, SamplingLimit
from elastron.mrd.image import IMAGE_HEADER
from elastron.mrd.meta import Meta
from elastron.recon.calibration import coil_map_images
from elastron.recon.coil_maps import inati
from elastron.recon.fft import fft
from elastron.recon.grappa import (
    GrappaSettings,
    calibrate,
    source_positions,
    unmixing_coefficients,
)

#: Fewer contiguous lines about the centre than this are no calibration region.
_LINES_MIN = 9
#: A new orientation or position of a slice makes its old lines worthless.
_ORIENTATION = ("position", "read_dir", "phase_dir", "slice_dir")


class WeightsCalculatorProperties(Properties):
    """Properties of `cpuWeightsCalculator`.

    Attributes:
        coil_map_estimation_ks: window of the coil map.
        coil_map_estimation_power: steps of its power method.
        block_size_lines: source points of the kernel along E1.
        block_size_samples: along the readout.
        convolution_kernel_threshold: Tikhonov parameter, relative to the mean eigenvalue.
    """

    coil_map_estimation_ks: int = Field(5, ge=1)
    coil_map_estimation_power: int = Field(3, ge=1)
    block_size_lines: int = Field(4, ge=1, le=64)
    block_size_samples: int = Field(5, ge=1, le=64)
    convolution_kernel_threshold: float = Field(5e-4, ge=0)


@dataclass(slots=True, eq=False)
class _Slice:
    """Lines of one slice, over all of its images so far.

    Attributes:
        kspace: complex64, (lines, channels, samples).
        domain: of the last axis.
        sampled: bool, (lines,).
        orientation: of the readouts.
        acceleration: distance of the imaging lines of the last image.
        region: calibration data and acceleration the weights are from.
        weights: complex64, (channels, 1, y, x); size 0 until there are enough lines.
    """

    kspace: np.ndarray
    domain: ReadoutDomain
    sampled: np.ndarray
    orientation: bytes
    acceleration: int = 1
    region: tuple[np.ndarray, int] | None = None
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 1, 0, 0), np.complex64))


class cpuWeightsCalculator(Gadget[WeightsCalculatorProperties]):  # noqa: N801
    """GRAPPA weights of each slice from all lines it has received, for `Unmixing`.

    Lines of successive images add up until the slice moves, so that interleaved (temporal)
    sampling calibrates from several images. One `ImageArray` goes out per bucket, of size 0 while
    there are too few contiguous lines about the centre.

    Coil maps come from the contiguous central lines. (The original takes all lines, so that with
    embedded calibration they are aliased themselves.)
    """

    properties_type: ClassVar[type[Properties]] = WeightsCalculatorProperties
    hybrid: ClassVar[Hybrid] = Hybrid.CONSUMES
    accepts: ClassVar[tuple[type, ...]] = (Bucket,)

    def __init__(self, properties: WeightsCalculatorProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._grid = LineGrid(context.header)
        self._slices: dict[int, _Slice] = {}

    def process(self, item: Bucket) -> Iterable[Item]:
        """File the lines, then put out the weights of the bucket's slice."""
        batches = [batch for batch in item.data if len(batch)]
        imaging = [
            batch.select(~batch.any_flag(AcquisitionFlag.IS_PARALLEL_CALIBRATION))
            for batch in batches
        ]
        number = -1
        for batch in batches:
            number = self._file(batch)
        if not any(map(len, imaging)):
            return  # there is no image to wait for weights
        same_shape(batches)
        place = self._slices[number]
        lines = np.unique(np.concatenate([self._grid.place(b) for b in imaging if len(b)]))
        if len(lines) > 1:
            place.acceleration = int(np.diff(lines)[-1])
        weights = self._weights(place)
        header = np.zeros((1, 1, 1), IMAGE_HEADER)
        header["slice"] = number
        yield ImageArray(weights[None, None, None], header, [Meta()])

    def _file(self, batch: AcquisitionBatch) -> int:
        """Add the lines of a batch to its slice; the slice's number."""
        lines = self._grid.place(batch)
        last = batch.headers[-1]
        number = int(last["idx"]["slice"])
        orientation = b"".join(last[name].tobytes() for name in _ORIENTATION)
        known = self._slices.get(number)
        shape = (self._grid.lines, *batch.data.shape[1:])
        if known is None or known.orientation != orientation or known.kspace.shape != shape:
            known = _Slice(
                np.zeros(shape, np.complex64),
                batch.readout_domain,
                np.zeros(self._grid.lines, bool),
                orientation,
            )
            self._slices[number] = known
        known.kspace[lines] = batch.data
        known.sampled[lines] = True
        return number

    def _weights(self, place: _Slice) -> np.ndarray:
        """The slice's weights, computed anew if its calibration region has changed."""
        p, grid = self.properties, self._grid
        center = grid.lines // 2
        gaps = np.flatnonzero(~place.sampled)
        first = int(max(gaps[gaps <= center], default=-1)) + 1
        last = int(min(gaps[gaps >= center], default=grid.lines)) - 1
        span = int(np.ptp(source_positions(p.block_size_lines, place.acceleration))) + 1
        if last - first + 1 < max(_LINES_MIN, span):
            return place.weights
        lines = place.kspace[first : last + 1]
        if place.region is not None:
            known, acceleration = place.region
            if acceleration == place.acceleration and np.array_equal(known, lines):
                return place.weights
        place.region = (lines.copy(), place.acceleration)

        reference = np.ascontiguousarray(np.moveaxis(lines, 1, 0))[:, None]
        if place.domain is ReadoutDomain.IMAGE:
            reference = fft(reference, -1, threads=self.context.threads, overwrite=True)
        images = coil_map_images(
            reference,
            (
                SamplingLimit(0, grid.samples // 2, grid.samples - 1),
                SamplingLimit(0, center - first, last - first),
                SamplingLimit(0, 0, 0),
            ),
            (grid.samples, grid.lines, 1),
            about_center=True,
            threads=self.context.threads,
        )
        maps = inati(
            images,
            (p.coil_map_estimation_ks, 1),
            power=p.coil_map_estimation_power,
            threads=self.context.threads,
        )
        if place.acceleration == 1:
            place.weights = np.conj(maps)
        else:
            settings = GrappaSettings(
                (place.acceleration, 1),
                kernel=(p.block_size_samples, p.block_size_lines, 1),
                regularization=p.convolution_kernel_threshold,
                fit_sampled=False,
            )
            kernel = calibrate(reference, len(reference), settings)
            place.weights = unmixing_coefficients(kernel, maps)
        return place.weights


class gpuWeightsCalculator(cpuWeightsCalculator):  # noqa: N801
    """The same, under the name that configs for a GPU use."""
