"""Images of fully sampled data: coil maps from the images themselves, and their combination."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from elastron.recon.fft import ifft


def hanning_smoothed(images: Any, axes: tuple[int, ...]) -> Any:
    """Images whose k-space is weighted with a Hanning window along each axis.

    The window of period n, 1/2 + 1/2 cos(2πk/n), is a convolution of the image with
    (1/4, 1/2, 1/4), so that no transform is needed. Edges wrap around.

    Args:
        images: complex64, (channels, ...); any array-API namespace.
        axes: to smooth along; not the first.

    Returns:
        complex64 of the shape of `images`.
    """
    xp = array_namespace(images)
    out = xp.empty_like(images)
    # Channel by channel, so that one stays in cache through all axes.
    for channel in range(images.shape[0]):
        one = images[channel, ...]
        for axis in axes:
            one = _binomial(one, axis % images.ndim - 1)
        out[channel, ...] = one
    return out


def _binomial(x: Any, axis: int) -> Any:
    xp = array_namespace(x)

    def part(array: Any, start: int | None, stop: int | None) -> Any:
        index = [slice(None)] * array.ndim
        index[axis] = slice(start, stop)
        return array[tuple(index)]

    # Pair sums twice: x[i-1] + 2 x[i] + x[i+1].
    wrapped = xp.concat([part(x, -1, None), x, part(x, 0, 1)], axis=axis)
    pairs = part(wrapped, 0, -1) + part(wrapped, 1, None)
    result = part(pairs, 0, -1) + part(pairs, 1, None)
    result *= 0.25
    return result


def halved(images: Any) -> Any:
    """Images at every second pixel along y and x, smoothed with (1, 4, 6, 4, 1) / 16.

    That is a window cos⁴ over k-space, which leaves little to fold over. Pixel i is pixel 2 i of
    the images.

    Args:
        images: complex64, (channels, z, y, x), y and x even; any array-API namespace.

    Returns:
        complex64, (channels, z, y / 2, x / 2).
    """
    xp = array_namespace(images)
    channels, depth, height, width = images.shape
    out = xp.empty((channels, depth, height // 2, width // 2), dtype=xp.complex64)
    for channel in range(channels):
        rows = images[channel, ...]
        rows = _every_second(rows[:, 0::2, :], rows[:, 1::2, :], 1)
        out[channel, ...] = _every_second(rows[:, :, 0::2], rows[:, :, 1::2], 2)
    return out


def _every_second(even: Any, odd: Any, axis: int) -> Any:
    xp = array_namespace(even)
    result = odd + xp.roll(odd, 1, axis=axis)
    result *= 4
    result += xp.roll(even, 1, axis=axis)
    result += xp.roll(even, -1, axis=axis)
    result += 6 * even
    result *= 1 / 16
    return result


def coarse(images: Any, minimum: int) -> Any:
    """Images halved along y and x for as long as both stay at `minimum` pixels or above.

    Coil sensitivities and the object's mean phase are smooth: maps of a coarser grid, whose
    windows hold more pixels' worth of signal, are less noisy and nearer to the truth.

    Args:
        images: complex64, (channels, z, y, x); any array-API namespace.
        minimum: pixels; 0 or less leaves the images as they are.
    """
    for _ in range(_halvings(images.shape, minimum)):
        images = halved(images)
    return images


def coarse_images(kspace: Any, axes: Sequence[int], minimum: int, *, threads: int = 1) -> Any:
    """Images on the grid of `coarse`, from the central part of k-space.

    Weighted as `halved` weights it, but nothing folds over. Where only few lines remain, far less
    is to be done than in full images.

    Args:
        kspace: complex64, (channels, E2, E1, RO); any array-API namespace.
        axes: those in k-space; the others are in image space already.
        minimum: see `coarse`.
        threads: for the FFTs.

    Returns:
        complex64, (channels, z, y, x); None if the grid is that of `kspace`.
    """
    times = _halvings(kspace.shape, minimum)
    if not times:
        return None
    xp = array_namespace(kspace)
    part, still = kspace, []
    for axis in (2, 3):
        if axis not in axes:
            still.append(axis)
            continue
        n, shape = kspace.shape[axis], [1] * 4
        m = shape[axis] = n >> times
        index = [slice(None)] * 4
        index[axis] = slice(n // 2 - m // 2, n // 2 - m // 2 + m)
        turns = np.pi * (np.arange(m) - m // 2) / n
        window = np.prod([np.cos(turns * 2**i) ** 4 for i in range(times)], axis=0)
        window = (window * math.sqrt(m / n)).astype(np.float32)
        part = part[tuple(index)] * xp.asarray(window.reshape(shape))
    images = ifft(part, axes, threads=threads, overwrite=part is not kspace)
    for axis in still:
        for _ in range(times):
            even, odd = (_every_other(images, first, axis) for first in (0, 1))
            images = _every_second(even, odd, axis)
    return images


def _halvings(shape: tuple[int, ...], minimum: int) -> int:
    """How often y and x are halved; see `coarse`."""
    height, width, times = shape[2], shape[3], 0
    while 0 < minimum <= min(height, width) // 2 and not (height % 2 or width % 2):
        height, width, times = height // 2, width // 2, times + 1
    return times


def _every_other(x: Any, first: int, axis: int) -> Any:
    index = [slice(None)] * x.ndim
    index[axis] = slice(first, None, 2)
    return x[tuple(index)]


def combine(images: Any, maps: Any) -> Any:
    """Combined image Σ_c conj(s_c) x_c.

    Args:
        images: complex64, (channels, z, y, x); any array-API namespace.
        maps: complex64, of unit norm over the channels; of the images' shape, or of images
            halved along y and x so and so often (see `coarse`): they are then interpolated
            linearly, and brought back to unit norm.

    Returns:
        complex64, (z, y, x).
    """
    xp = array_namespace(images)
    image = xp.zeros(images.shape[1:], dtype=xp.complex64)
    fold = images.shape[3] // maps.shape[3]
    # Channel by channel, so that one stays in cache.
    for channel, one in enumerate(_interpolated_channels(maps, fold)):
        image += xp.conj(one) * images[channel, ...]
    if fold > 1:
        image *= _inverse_norm(maps, fold)
    return image


def interpolated(maps: Any, fold: int) -> Any:
    """Maps for a finer grid: linear interpolation along y and x, back to unit norm.

    Args:
        maps: complex64, (channels, z, y, x), of unit norm over the channels.
        fold: pixels in place of one, along y and along x.

    Returns:
        complex64, (channels, z, fold y, fold x); pixel fold i is pixel i of `maps`.
    """
    xp = array_namespace(maps)
    channels, depth, rows, columns = maps.shape
    out = xp.empty((channels, depth, rows * fold, columns * fold), dtype=xp.complex64)
    inverse = _inverse_norm(maps, fold)
    for channel, one in enumerate(_interpolated_channels(maps, fold)):
        out[channel, ...] = one * inverse
    return out


def _interpolated_channels(maps: Any, fold: int) -> Iterator[Any]:
    """Each channel on the finer grid; valid until the next one."""
    xp = array_namespace(maps)
    _, depth, rows, columns = maps.shape
    width = columns * fold
    wide = xp.empty((depth, rows, columns, fold), dtype=xp.complex64)
    full = xp.empty((depth, rows, fold, width), dtype=xp.complex64)
    for channel in range(maps.shape[0]):
        one = maps[channel, ...]
        if fold > 1:
            step = (xp.roll(one, -1, axis=2) - one) * (1 / fold)
            for i in range(fold):
                wide[..., i] = one
                one = one + step if i + 1 < fold else xp.reshape(wide, (depth, rows, width))
            step = (xp.roll(one, -1, axis=1) - one) * (1 / fold)
            for i in range(fold):
                full[:, :, i, :] = one
                one = one + step if i + 1 < fold else one
            one = xp.reshape(full, (depth, rows * fold, width))
        yield one


def _inverse_norm(maps: Any, fold: int) -> Any:
    """1 / the norm of interpolated maps; 0 where that is 0."""
    xp = array_namespace(maps)
    norm = _interpolated_power(maps, fold)
    return xp.where(norm > 0, 1 / xp.sqrt(xp.where(norm > 0, norm, 1)), xp.zeros_like(norm))


def _interpolated_power(maps: Any, fold: int) -> Any:
    """Sum of squares over the channels of maps interpolated along y and x.

    It is a sum over pairs of the four pixels about a point: their scalar products, at the maps'
    own resolution, times the product of their weights.

    Returns:
        float32, (z, y, x), not below 0 but for rounding.
    """
    xp = array_namespace(maps)
    _, depth, rows, columns = maps.shape

    def shared(a: Any, b: Any) -> Any:
        return xp.sum(xp.real(a) * xp.real(b) + xp.imag(a) * xp.imag(b), axis=0)

    beside, below = xp.roll(maps, -1, axis=3), xp.roll(maps, -1, axis=2)
    own, along_x, along_y = shared(maps, maps), shared(maps, beside), shared(maps, below)
    own_below = xp.roll(own, -1, axis=1)
    products = [
        own,
        xp.roll(own, -1, axis=2),
        own_below,
        xp.roll(own_below, -1, axis=2),
        along_x,
        xp.roll(along_x, -1, axis=1),
        along_y,
        xp.roll(along_y, -1, axis=2),
        shared(maps, xp.roll(beside, -1, axis=2)) + shared(beside, below),
    ]
    t = np.arange(fold) / fold
    alone, both = ((1 - t) ** 2, t**2), 2 * t * (1 - t)
    shares = [np.outer(y, x) for y in alone for x in alone]
    shares += [np.outer(y, both) for y in alone]
    shares += [np.outer(both, x) for x in alone]
    shares.append(np.outer(both, both) / 2)
    weights = np.array([share.ravel() for share in shares], np.float32)
    power = xp.stack(products, axis=-1) @ xp.asarray(weights)
    power = xp.reshape(power, (depth, rows, columns, fold, fold))
    power = xp.permute_dims(power, (0, 1, 3, 2, 4))
    return xp.reshape(power, (depth, rows * fold, columns * fold))
