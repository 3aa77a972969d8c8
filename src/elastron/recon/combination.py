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
    while (
        minimum > 0
        and min(images.shape[2:]) // 2 >= minimum
        and not (images.shape[2] % 2 or images.shape[3] % 2)
    ):
        images = halved(images)
    return images


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
    times = (images.shape[3] // maps.shape[3]).bit_length() - 1
    image = xp.zeros(images.shape[1:], dtype=xp.complex64)
    power = xp.zeros(images.shape[1:], dtype=xp.float32)
    # Channel by channel, so that one stays in cache.
    for channel in range(images.shape[0]):
        product = xp.conj(maps[channel, ...])
        for _ in range(times):
            product = _doubled(_doubled(product, 1), 2)
        if times:
            power += xp.real(product) ** 2
            power += xp.imag(product) ** 2
        product *= images[channel, ...]
        image += product
    if times:
        image *= xp.where(power > 0, 1 / xp.sqrt(xp.where(power > 0, power, 1)), power)
    return image


def _doubled(x: Any, axis: int) -> Any:
    """Linear interpolation to twice the length; wraps around."""
    xp = array_namespace(x)
    between = x + xp.roll(x, -1, axis=axis)
    between *= 0.5
    shape = list(x.shape)
    shape[axis] *= 2
    return xp.reshape(xp.stack([x, between], axis=axis + 1), tuple(shape))
