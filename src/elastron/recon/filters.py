"""k-space filters: windows along one axis, and their use on images.

All windows have unit root mean square over the sampled points, so that white noise keeps its
standard deviation (SNR units). Index n // 2 is the centre. Behaviour follows Gadgetron 4.7.2,
`mri_core_kspace_filter`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from array_api_compat import array_namespace, is_numpy_array


class FilterType(enum.Enum):
    """The shape of a window; the value is its name in a config."""

    GAUSSIAN = "Gaussian"
    HANNING = "Hanning"
    TAPERED_HANNING = "TaperedHanning"
    NONE = "None"


def taper(width: int) -> np.ndarray:
    """The rising flank of a Hanning window, 0 and 1 left out; float64, shape (width,)."""
    return 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, width + 1) / (2 * width + 1)))


def symmetric_filter(
    n: int, kind: FilterType, *, sigma: float = 1.5, width: int = 15
) -> np.ndarray:
    """A window that is symmetric about n // 2; for even n, index 0 is 0.

    Args:
        n: number of points.
        kind: its shape.
        sigma: for GAUSSIAN: the window is exp(-(sigma x)² / 2), x = -1 … 1.
        width: for TAPERED_HANNING: points in each flank, at most n // 2.

    Returns:
        float64, shape (n,), root mean square 1.
    """
    if kind is FilterType.NONE or n < 3:
        return np.ones(n)
    # Even lengths: the odd window one point shorter, centred on n // 2.
    odd = n - 1 + n % 2
    if kind is FilterType.GAUSSIAN:
        core = np.exp(-0.5 * (sigma * np.linspace(-1, 1, odd)) ** 2)
    elif kind is FilterType.HANNING:
        core = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, odd + 1) / (odd + 1)))
    else:
        core = np.ones(odd)
        flank = taper(min(max(width, 1), n // 2))
        core[: len(flank)] = flank
        core[odd - len(flank) :] = flank[::-1]
    window = np.concatenate([np.zeros(n - odd), core])
    return window / np.sqrt(np.mean(window**2))


def sampled_filter(
    n: int,
    first: int,
    last: int,
    kind: FilterType,
    *,
    sigma: float = 1.0,
    width: float = 0.15,
) -> np.ndarray:
    """The window for an axis of which `first` … `last` were sampled.

    Where both ends are missing, the window spans the wider half only; else it spans the whole
    axis.

    Args:
        n: number of points.
        first: first sampled point.
        last: last sampled point.
        kind: its shape.
        sigma: see `symmetric_filter`.
        width: of a flank, as a share of the window's length.

    Returns:
        float64, shape (n,), root mean square 1 over `first` … `last`.
    """
    length = n
    if first > 0 and last < n - 1:
        length = min(n, 2 * max(n // 2 - first, last - n // 2) + 1)
    window = symmetric_filter(length, kind, sigma=sigma, width=int(np.ceil(width * length)))
    window = pad_centered(window, n)
    return window / np.sqrt(np.mean(window[first : last + 1] ** 2))


def asymmetric_filter(
    n: int, first: int, last: int, *, width: int, density_compensation: bool = False
) -> np.ndarray:
    """1 on `first` … `last`, with a flank wherever the sampled range ends short.

    Args:
        n: number of points.
        first: first sampled point.
        last: last sampled point.
        width: points in a flank.
        density_compensation: count lines twice whose mirror image is missing.

    Returns:
        float64, shape (n,), root mean square 1 over `first` … `last`; 0 elsewhere.
    """
    window = np.zeros(n)
    window[first : last + 1] = 1
    flank = taper(width if 0 < width < n else 1)[: last - first + 1]
    at_start, at_end = first > 0, last < n - 1
    if not at_start and not at_end:
        at_start = at_end = True
    elif density_compensation and at_start != at_end:
        # 2 where the mirror image is missing, and down to 1 within the symmetric part.
        reach = min(n // 2 - first, last - n // 2)
        if at_end:
            edge = n // 2 - reach
            window[:edge] = 2
            window[edge : edge + len(flank)] = 1 + flank[::-1]
        else:
            edge = n // 2 + reach
            window[edge + 1 :] = 2
            window[edge - len(flank) + 1 : edge + 1] = 1 + flank
    if at_start:
        window[first : first + len(flank)] = flank
    if at_end:
        window[last - len(flank) + 1 : last + 1] = flank[::-1]
    return window / np.sqrt(np.sum(window**2) / (last - first + 1))


def reference_filter(n: int, first: int, last: int) -> np.ndarray:
    """The Hanning window over the symmetric part of a sampled range.

    It is what low-resolution images (coil maps, phase maps) are made with.

    Returns:
        float64, shape (n,), root mean square 1 over the part it covers; 0 elsewhere.
    """
    if first <= 0 and last >= n - 1:
        return symmetric_filter(n, FilterType.HANNING)
    reach = min(n // 2 - first if first > 0 else n, last - n // 2 if last < n - 1 else n)
    window = symmetric_filter(2 * reach + 1, FilterType.HANNING)
    return pad_centered(window, n)


def pad_centered(window: np.ndarray, n: int) -> np.ndarray:
    """`window` between zeros, its centre on n // 2; shape (n,)."""
    before = n // 2 - len(window) // 2
    return np.pad(window, (before, n - len(window) - before))


def filter_images(x: Any, filters: Mapping[int, np.ndarray], *, threads: int = 1) -> Any:
    """Multiply the k-space of images with windows along some axes.

    Only those axes are transformed, and without centring: moving the images' origin changes
    nothing, if the windows are moved too.

    Args:
        x: complex64 images of any shape; any array-API namespace.
        filters: axis -> window of that length, centred on n // 2.
        threads: cores to use (NumPy only).

    Returns:
        complex64 of the shape of `x`; `x` itself if there is nothing to do.
    """
    xp = array_namespace(x)
    axes = tuple(axis % x.ndim for axis in filters)
    active = tuple(
        (axis, np.asarray(window, np.float32).tobytes())
        for axis, window in zip(axes, filters.values(), strict=True)
        if np.any(np.asarray(window) != 1)
    )
    if not active:
        return x
    axes = tuple(axis for axis, _ in active)
    weights = _weights(active, x.ndim)
    if is_numpy_array(x):
        x = np.asarray(x, np.complex64)
        kspace = scipy.fft.fftn(x, axes=axes, workers=threads)
        kspace *= weights
        return scipy.fft.ifftn(kspace, axes=axes, workers=threads, overwrite_x=True)
    kspace = xp.fft.fftn(x, axes=axes)
    return xp.fft.ifftn(kspace * xp.asarray(weights), axes=axes)


@lru_cache(maxsize=16)
def _weights(windows: tuple[tuple[int, bytes], ...], ndim: int) -> np.ndarray:
    """Product of the windows, moved to the plain transform's order; float32, broadcastable."""
    product = np.ones((1,) * ndim, np.float32)
    for axis, data in windows:
        window = np.fft.ifftshift(np.frombuffer(data, np.float32))
        product = product * window.reshape((-1,) + (1,) * (ndim - 1 - axis))
    product.flags.writeable = False
    return product
