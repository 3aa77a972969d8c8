"""Calibration data: averaging, and low-resolution images for coil maps.

Arrays are (..., channels, E2, E1, RO). Filters, sizes and centres follow Gadgetron 4.7.2
(`compute_averaged_data_N_S`, `make_ref_coil_map`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from elastron.errors import DataError
from elastron.mrd.buffers import SamplingLimit
from elastron.recon.fft import ifft
from elastron.recon.filters import reference_filter


def average_repeats(data: Any, sampled: np.ndarray | None, *, over_n: bool, over_s: bool) -> Any:
    """Average calibration data over N and S.

    Args:
        data: complex64, (LOC, S, N, CHA, E2, E1, E0); unsampled lines are 0.
        sampled: bool, (LOC, S, N, E2, E1): divide each line by how often it was sampled, as
            interleaved calibration needs; None divides by N.
        over_n: average over N.
        over_s: average over S.

    Returns:
        (LOC, 1 or S, 1 or N, CHA, E2, E1, E0); `data` itself if there is nothing to average.
    """
    xp = array_namespace(data)
    if over_n and data.shape[2] > 1:
        total = xp.sum(data, axis=2, keepdims=True, dtype=data.dtype)
        if sampled is None:
            data = total * (1 / data.shape[2])
        else:
            times = np.maximum(1, sampled.sum(axis=2, keepdims=True)).astype(np.float32)
            data = total * xp.asarray(1 / times)[:, :, :, None, :, :, None]
    if over_s and data.shape[1] > 1:
        data = xp.mean(data, axis=1, keepdims=True, dtype=data.dtype)
    return data


def sampled_span(sampled: np.ndarray) -> tuple[int, int]:
    """First and last index where a bool vector is true; (0, -1) if nowhere."""
    index = np.flatnonzero(sampled)
    return (int(index[0]), int(index[-1])) if len(index) else (0, -1)


def coil_map_images(
    reference: Any,
    limits: tuple[SamplingLimit, SamplingLimit, SamplingLimit],
    matrix: tuple[int, int, int],
    *,
    about_center: bool,
    threads: int = 1,
) -> Any:
    """Low-resolution images from calibration data, to estimate coil maps from.

    The data is Hanning filtered, zero padded about its centre and transformed.

    Args:
        reference: complex64, (channels, E2, E1, RO), cropped to what was sampled.
        limits: of RO within the full readout; of E1 and E2 within `reference`.
        matrix: x, y, z of the result.
        about_center: use only lines symmetric about the centre of k-space, as where the data
            itself calibrates (interleaved, or no acceleration).
        threads: for the FFTs.

    Returns:
        complex64, (channels, z, y, x).
    """
    xp = array_namespace(reference)
    lines2, lines1 = reference.shape[1:3]
    first2, count2 = _central_lines(limits[2], matrix[2], about_center and lines2 > 1)
    first1, count1 = _central_lines(limits[1], matrix[1], about_center)
    first1, first2 = max(first1, 0), max(first2, 0)
    count1, count2 = min(count1, lines1 - first1), min(count2, lines2 - first2)

    first0, center0, last0 = limits[0].minimum, limits[0].center, limits[0].maximum
    size0 = 2 * center0
    if first0 > 0 or last0 < size0 - 1:
        size0 = min(2 * max(center0 - first0, last0 - center0 + 1), matrix[0])
    count0 = min(last0 - first0 + 1, reference.shape[3], size0 - first0)
    if min(count0, count1, count2) < 1:
        raise DataError(
            "the calibration data does not cover the centre of k-space; check the calibration "
            "lines and the encoding limits of the scan"
        )

    lines = reference[:, first2 : first2 + count2, first1 : first1 + count1, :count0]
    window = reference_filter(size0, first0, first0 + count0 - 1)[first0 : first0 + count0]
    window = window * reference_filter(count1, 0, count1 - 1)[:, None]
    if lines2 > 1:
        window = window * reference_filter(count2, 0, count2 - 1)[:, None, None]
    lines = lines * xp.asarray(window.astype(np.float32))
    # The readout first, while there are few lines.
    lines = _pad(lines, 3, size0, first0)
    lines = ifft(_pad_centered(lines, 3, matrix[0]), 3, threads=threads, overwrite=True)
    lines = ifft(_pad_centered(lines, 2, matrix[1]), 2, threads=threads, overwrite=True)
    if matrix[2] > 1:
        lines = ifft(_pad_centered(lines, 1, matrix[2]), 1, threads=threads, overwrite=True)
    return lines


def _central_lines(limit: SamplingLimit, size: int, about_center: bool) -> tuple[int, int]:
    """First line and number of lines to use, centred on the centre of k-space."""
    if about_center:
        before = limit.center - limit.minimum
        after = limit.maximum - limit.center + 1
        count = min(2 * min(before, after) - 1, size)
    else:
        count = min(limit.maximum - limit.minimum + 1, size)
    return limit.center - count // 2, count


def _pad_centered(x: Any, axis: int, size: int) -> Any:
    """Zero pad (or crop) `axis` to `size`, index n // 2 staying at the centre."""
    length = x.shape[axis]
    if length > size:
        start = length // 2 - size // 2
        index = [slice(None)] * x.ndim
        index[axis] = slice(start, start + size)
        return x[tuple(index)]
    return _pad(x, axis, size, size // 2 - length // 2)


def _pad(x: Any, axis: int, size: int, before: int) -> Any:
    if x.shape[axis] == size:
        return x
    xp = array_namespace(x)
    out = xp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), dtype=x.dtype)
    index = [slice(None)] * x.ndim
    index[axis] = slice(before, before + x.shape[axis])
    out[tuple(index)] = x
    return out
