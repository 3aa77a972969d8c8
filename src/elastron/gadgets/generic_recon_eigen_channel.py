"""GenericReconEigenChannelGadget: coil compression of sorted k-space."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

import numpy as np

from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.gadgets.generic_recon_base import (
    CalibrationMode,
    GenericReconProperties,
    ScanInfo,
    sampled_lines,
    slices_of,
)
from elastron.mrd.acquisition import ReadoutDomain
from elastron.mrd.buffers import DataBuffered, ReconBit, ReconData
from elastron.recon.calibration import average_repeats
from elastron.recon.eigen_channels import combine_channels, count_kept, eigen_channels

#: Lines transformed at a time; keeps temporary arrays small.
_LINES = 64
#: Bytes of all channels' samples transformed at a time, where all lines are.
_BLOCK_BYTES = 1 << 19


class EigenChannelProperties(GenericReconProperties):
    """Properties of `GenericReconEigenChannelGadget`.

    Attributes:
        average_all_ref_N: one set of coefficients for all N.
        average_all_ref_S: one set of coefficients for all S.
        update_eigen_channel_coefficients: from all data anew; else from the first of each slice.
        upstream_coil_compression: kept for compatibility; the original ignores it too.
        upstream_coil_compression_thres: channels with less than this share of the strongest
            one's energy are dropped; <= 0 keeps all.
        upstream_coil_compression_num_modesKept: if positive, channels to keep.
    """

    average_all_ref_N: bool = True  # noqa: N815
    average_all_ref_S: bool = False  # noqa: N815
    update_eigen_channel_coefficients: bool = False
    upstream_coil_compression: bool = True
    upstream_coil_compression_thres: float = -1
    upstream_coil_compression_num_modesKept: int = 0  # noqa: N815


class GenericReconEigenChannelGadget(Gadget[EigenChannelProperties]):
    """Turns channels into virtual ones, strongest first, and drops the weakest.

    Coefficients come from the reference, or from the data where there is none. They are kept
    per encoding space and slice. (The original keeps one set per encoding space, so that with
    `split_slices` all slices are compressed with the first one's.)
    """

    properties_type: ClassVar[type[Properties]] = EigenChannelProperties
    hybrid: ClassVar[Hybrid] = Hybrid.PASSES
    accepts: ClassVar[tuple[type, ...]] = (ReconData,)

    def __init__(self, properties: EigenChannelProperties, context: Context) -> None:
        super().__init__(properties, context)
        self._scan = ScanInfo.of(context.header)
        # (encoding, slices) -> (LOC, S, N, channels, components)
        self._vectors: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}

    def process(self, item: ReconData) -> Iterable[Item]:
        """Transform data and references; the item is taken over, so that old arrays can go."""
        item.bits = [self._compressed(e, bit) for e, bit in enumerate(item.bits)]
        yield item

    def _compressed(self, encoding: int, bit: ReconBit) -> ReconBit:
        if not bit.data.data.size:
            return bit
        vectors = self._coefficients(encoding, bit)
        reference = bit.reference
        if reference is None or reference.data is bit.data.data:
            data = _transformed(bit.data, vectors, in_place=True)
            if reference is not None:
                reference = replace(reference, data=data.data)
        else:
            apart = not np.may_share_memory(reference.data, bit.data.data)
            data = _transformed(bit.data, vectors, in_place=apart)
            reference = _transformed(reference, vectors, in_place=apart)
        return ReconBit(data, reference)

    def _coefficients(self, encoding: int, bit: ReconBit) -> np.ndarray:
        key = (encoding, slices_of(bit.data))
        known = self._vectors.get(key)
        dims = bit.data.data.shape[:4]
        if (
            known is None
            or known.shape[:4] != dims
            or self.properties.update_eigen_channel_coefficients
        ):
            mode = self._scan.encoding(encoding).calibration
            known = self._compute(bit.reference or bit.data, dims, mode)
            self._vectors[key] = known
            self.context.log.debug(
                "coil compression", channels=known.shape[3], kept=known.shape[4], encoding=encoding
            )
        return known

    def _compute(
        self, source: DataBuffered, dims: tuple[int, ...], mode: CalibrationMode
    ) -> np.ndarray:
        p = self.properties
        counted = sampled_lines(source) if mode is CalibrationMode.INTERLEAVED else None
        if counted is not None and counted.shape[:3] != source.data.shape[:3]:
            counted = None  # averaged by the reference preparation
        data = average_repeats(
            source.data, counted, over_n=p.average_all_ref_N, over_s=p.average_all_ref_S
        )
        hybrid = source.readout_domain is ReadoutDomain.IMAGE
        solved = {
            index: eigen_channels(data[index], total=_kspace_sum(data[index]) if hybrid else None)
            for index in np.ndindex(*data.shape[:3])
        }
        kept = count_kept(
            solved[0, 0, 0][0],
            threshold=p.upstream_coil_compression_thres,
            modes=p.upstream_coil_compression_num_modesKept,
        )
        locations, sets, repeats, channels = dims
        vectors = np.empty((locations, sets, repeats, channels, kept), np.complex64)
        for loc, s, n in np.ndindex(locations, sets, repeats):
            index = (loc, min(s, data.shape[1] - 1), min(n, data.shape[2] - 1))
            vectors[loc, s, n] = solved[index][1][:, :kept]
        return vectors


def _kspace_sum(images: np.ndarray) -> np.ndarray:
    """Sum of the samples that readouts in image space come from.

    Principal components survive a unitary transform, the mean that is removed does not: k-space
    sums up to the point in the centre of image space.

    Args:
        images: complex64, (channels, E2, E1, points).

    Returns:
        complex128, (channels,).
    """
    points = images.shape[-1]
    centre = images[..., points // 2].astype(np.complex128)
    return centre.sum(axis=(1, 2)) * math.sqrt(points)


def _transformed(buffered: DataBuffered, vectors: np.ndarray, *, in_place: bool) -> DataBuffered:
    """The buffer in virtual channels.

    Args:
        buffered: of any channels.
        vectors: (LOC, S, N, channels, components).
        in_place: memory of samples may be reused.
    """
    data, sampled = buffered.data, sampled_lines(buffered)
    # Headers of an averaged reference are not averaged: take all of its lines.
    if sampled.shape[:3] == data.shape[:3] and not sampled.all():
        return replace(buffered, data=_sampled_transformed(data, sampled, vectors))
    kept = vectors.shape[-1]
    reused = in_place and data.flags.c_contiguous and data.flags.writeable
    out = data if reused else np.empty((*data.shape[:3], kept, *data.shape[4:]), np.complex64)
    step = max(1, _BLOCK_BYTES // (8 * data.shape[3]))
    for index in np.ndindex(*data.shape[:3]):
        source, target = (array[index].reshape(len(array[index]), -1) for array in (data, out))
        for start in range(0, source.shape[1], step):
            block = slice(start, start + step)
            target[:kept, block] = combine_channels(source[:, block], vectors[index])
    return replace(buffered, data=out[:, :, :, :kept])


def _sampled_transformed(data: np.ndarray, sampled: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Samples in virtual channels; in memory (LOC, S, N, E2, E1, CHA, E0).

    Only lines that hold data are touched: memory of the others is never written.
    """
    locations, sets, repeats, _, e2, e1, e0 = data.shape
    kept = vectors.shape[-1]
    out = np.zeros((locations, sets, repeats, e2 * e1, kept, e0), np.complex64)
    for index in np.ndindex(locations, sets, repeats):
        lines = np.moveaxis(data[index], 0, 2).reshape(e2 * e1, -1, e0)
        where = np.flatnonzero(sampled[index])
        for start in range(0, len(where), _LINES):
            chosen = _evenly(where[start : start + _LINES])
            out[index][chosen] = combine_channels(lines[chosen], vectors[index])
    return np.moveaxis(out.reshape(locations, sets, repeats, e2, e1, kept, e0), 5, 3)


def _evenly(rows: np.ndarray) -> np.ndarray | slice:
    """Ascending rows as a slice if they are evenly spaced: a view then, no copy."""
    first, last = int(rows[0]), int(rows[-1])
    step = max(1, (last - first) // max(1, len(rows) - 1))
    chosen = slice(first, last + 1, step)
    return chosen if np.array_equal(rows, np.arange(first, last + 1, step)) else rows
