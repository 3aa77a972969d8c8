"""Partial Fourier: images of which one side of k-space was not sampled.

All functions take and give images, so that only the axes in question are transformed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from elastron.recon.fft import fft, ifft
from elastron.recon.filters import asymmetric_filter, filter_images, pad_centered, reference_filter


@dataclass(frozen=True, slots=True)
class SampledRange:
    """First and last sampled point of an axis."""

    first: int
    last: int


#: Axis -> what was sampled; axes that were sampled in full are left out.
Sampled = Mapping[int, SampledRange]


def zero_filling_filter(
    n: int, sampled: SampledRange, *, width: float = 0.15, density_compensation: bool = False
) -> np.ndarray:
    """The window that lets k-space fall off smoothly towards its missing side.

    Args:
        n: number of points.
        sampled: what was sampled.
        width: of the flank, as a share of the length.
        density_compensation: count lines twice whose mirror image is missing.

    Returns:
        float64, shape (n,), root mean square 1 over the sampled points.
    """
    first, last = sampled.first, sampled.last
    center = n // 2
    length = n
    if first > 0 and last < n - 1:
        # Both ends are missing: only the shorter half is partial, so the window lies on the
        # matrix that the longer half spans.
        length = 2 * max(last - center + 1, center - first)
    shift = center - length // 2
    window = asymmetric_filter(
        length,
        max(0, first - shift),
        min(length - 1, last - shift),
        width=int(length * width),
        density_compensation=density_compensation,
    )
    return pad_centered(window, n)


def filter_partial_fourier(
    images: Any,
    sampled: Sampled,
    *,
    widths: Mapping[int, float] | None = None,
    density_compensation: bool = False,
    threads: int = 1,
) -> Any:
    """Zero filling with a smooth edge.

    Args:
        images: complex64, any array-API namespace.
        sampled: what was sampled, along partial axes.
        widths: axis -> width of the flank as a share of the length; 0.15 by default.
        density_compensation: count lines twice whose mirror image is missing.
        threads: cores to use.

    Returns:
        complex64 of the shape of `images`.
    """
    windows = {
        axis: zero_filling_filter(
            images.shape[axis],
            part,
            width=(widths or {}).get(axis, 0.15),
            density_compensation=density_compensation,
        )
        for axis, part in sampled.items()
    }
    return filter_images(images, windows, threads=threads)


def low_resolution_phase(
    images: Any, sampled: Sampled, axes: tuple[int, ...], *, threads: int = 1
) -> Any:
    """exp(iφ) of the images' smooth part, from the symmetric centre of k-space.

    Args:
        images: complex64, any array-API namespace.
        sampled: what was sampled, along partial axes.
        axes: all encoded axes; a Hanning window is laid over each.
        threads: cores to use.

    Returns:
        complex64 of the shape of `images`, of magnitude 1 (or 0 where there is no signal).
    """
    windows = {}
    for axis in axes:
        n = images.shape[axis]
        part = sampled.get(axis, SampledRange(0, n - 1))
        windows[axis] = reference_filter(n, part.first, part.last)
    xp = array_namespace(images)
    smooth = filter_images(images, windows, threads=threads)
    return smooth / (xp.abs(smooth) + xp.finfo(xp.float32).smallest_normal)


def homodyne(images: Any, sampled: Sampled, axes: tuple[int, ...], *, threads: int = 1) -> Any:
    """Homodyne detection (Noll, Nishimura, Macovski, IEEE Trans Med Imaging 10 (1991), 154).

    Lines whose mirror image is missing count twice. After removal of the smooth phase the
    conjugate symmetry that stands for holds in the real part. It holds along one axis only:
    the one with the largest missing share; other partial axes stay zero-filled.

    Args:
        images: complex64, any array-API namespace.
        sampled: what was sampled, along partial axes.
        axes: all encoded axes.
        threads: cores to use.

    Returns:
        complex64 of the shape of `images`: the real part with its smooth phase put back.
    """
    xp = array_namespace(images)
    phase = low_resolution_phase(images, sampled, axes, threads=threads)
    axis = max(sampled, key=lambda a: _missing(images.shape[a], sampled[a]) / images.shape[a])
    n, part = images.shape[axis], sampled[axis]
    weighted = filter_images(images, {axis: _homodyne_weights(n, part)}, threads=threads)
    return xp.real(weighted * xp.conj(phase)) * phase


def _missing(n: int, part: SampledRange) -> int:
    """Points without which the sampled range were symmetric."""
    return abs((n // 2 - part.first) - (part.last - n // 2))


def _homodyne_weights(n: int, part: SampledRange) -> np.ndarray:
    """W(k) with W(k) + W(-k) = 2 wherever k or -k was sampled: 2, a linear ramp, 0."""
    center = n // 2
    below, above = center - part.first, part.last - center
    reach = max(0, min(below, above))
    offset = np.arange(n) - center
    if below > above:
        offset = -offset
    weights = 1 + np.clip(offset / (reach + 1), -1, 1)
    if n % 2 == 0:
        weights[0] = 1  # its own mirror image
    weights[: part.first] = 0
    weights[part.last + 1 :] = 0
    return weights


def pocs(
    images: Any,
    sampled: Sampled,
    axes: tuple[int, ...],
    *,
    transition: Mapping[int, int] | None = None,
    iterations: int = 6,
    threshold: float = 0.01,
    threads: int = 1,
) -> Any:
    """Projection onto convex sets (Haacke et al., J Magn Reson 92 (1991), 126).

    Two constraints are met in turn: the phase is that of the low-resolution image, and the
    sampled part of k-space is as measured. Partial axes may be several.

    Args:
        images: complex64, zero-filled; any array-API namespace.
        sampled: what was sampled, along partial axes.
        axes: all encoded axes.
        transition: axis -> points over which measured and estimated k-space are blended; 0 or
            none at all axes for a hard edge.
        iterations: at most so many.
        threshold: stop when the relative change falls below.
        threads: cores to use.

    Returns:
        complex64 of the shape of `images`.
    """
    xp = array_namespace(images)
    phase = low_resolution_phase(images, sampled, axes, threads=threads)
    partial = tuple(sampled)
    measured = fft(images, partial, threads=threads)
    inside = [slice(None)] * images.ndim
    for axis, part in sampled.items():
        inside[axis] = slice(part.first, part.last + 1)
    inside = tuple(inside)

    current, estimate, kspace = images, measured, measured
    for _ in range(iterations):
        estimate = fft(xp.abs(current) * phase, partial, threads=threads, overwrite=True)
        kspace = xp.asarray(estimate, copy=True)
        kspace[inside] = measured[inside]
        previous, current = current, ifft(kspace, partial, threads=threads)
        change = xp.linalg.vector_norm(current - previous)
        if change < threshold * xp.linalg.vector_norm(previous):
            break

    if not any((transition or {}).values()):
        return ifft(kspace, partial, threads=threads, overwrite=True)
    weights = np.ones((1,) * images.ndim)
    for axis, part in sampled.items():
        window = _transition_window(images.shape[axis], part, (transition or {}).get(axis, 0))
        shape = [1] * images.ndim
        shape[axis] = -1
        weights = weights * window.reshape(shape)
    blend = xp.asarray(weights.astype(np.float32))
    estimate = estimate + (measured - estimate) * blend
    return ifft(estimate, partial, threads=threads, overwrite=True)


def _transition_window(n: int, part: SampledRange, width: int) -> np.ndarray:
    """Share of the measured k-space: 1 in the centre, 0 where nothing was sampled."""
    width = min(width, n // 2 - part.first, part.last - n // 2)
    window = asymmetric_filter(n, part.first, part.last, width=max(1, width))
    return window / window[n // 2]
