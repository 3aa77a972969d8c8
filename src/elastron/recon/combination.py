"""Images of fully sampled data: coil maps from the images themselves, and their combination."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


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


def combine(images: Any, maps: Any) -> Any:
    """Combined image Σ_c conj(s_c) x_c.

    Args:
        images: complex64, (channels, z, y, x); any array-API namespace.
        maps: complex64, same shape, unit norm over the channels.

    Returns:
        complex64, (z, y, x).
    """
    xp = array_namespace(images)
    image = xp.conj(maps[0, ...]) * images[0, ...]
    for channel in range(1, images.shape[0]):
        product = xp.conj(maps[channel, ...])
        product *= images[channel, ...]
        image += product
    return image
