"""Images on another grid: interpolation by zero filling, and cuts of the field of view."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from array_api_compat import array_namespace

from elastron.recon.fft import fft, ifft

#: Fields of view that differ by less are the same.
_SAME_FOV_MM = 0.1


def crop_or_pad(x: Any, sizes: Mapping[int, int]) -> Any:
    """Cut axes, or extend them with zeros, about their centre n // 2.

    Args:
        x: any shape and dtype; any array-API namespace.
        sizes: axis -> new length.

    Returns:
        An array of the new shape: a view where axes are only cut.
    """
    xp = array_namespace(x)
    shape, source, target = list(x.shape), [slice(None)] * x.ndim, [slice(None)] * x.ndim
    for axis, size in sizes.items():
        n = x.shape[axis]
        shift = size // 2 - n // 2
        shape[axis] = size
        source[axis] = slice(max(0, -shift), min(n, size - shift))
        target[axis] = slice(max(0, shift), min(size, n + shift))
    cut = x[tuple(source)]
    if cut.shape == tuple(shape):
        return cut
    result = xp.zeros(tuple(shape), dtype=x.dtype)
    result[tuple(target)] = cut
    return result


def resize_images(x: Any, sizes: Mapping[int, int], *, threads: int = 1) -> Any:
    """Sinc interpolation: cut or zero-fill the images' k-space.

    White noise keeps its standard deviation either way (SNR units). With zero filling the
    intensity stays too; a cut to m of n points raises it by sqrt(n / m), as in the Gadgetron.

    Args:
        x: complex64 images; any array-API namespace.
        sizes: axis -> new length.
        threads: cores to use (NumPy only).

    Returns:
        complex64 of the new shape; `x` itself if nothing changes.
    """
    for axis, size in sizes.items():
        n = x.shape[axis]
        if n == size:
            continue
        kspace = crop_or_pad(fft(x, axis, threads=threads), {axis: size})
        if size > n:
            kspace *= math.sqrt(size / n)
        x = ifft(kspace, axis, threads=threads, overwrite=True)
    return x


def adjust_field_of_view(
    x: Any,
    *,
    encoded_fov: tuple[float, float, float],
    recon_fov: tuple[float, float, float],
    recon_matrix: tuple[int, int, int],
    threads: int = 1,
) -> Any:
    """Bring images to the reconstruction's matrix and field of view.

    Along phase and slice encoding the images are interpolated to the pixel size asked for and
    then cut to (or, with air, extended to) the field of view. Along the readout they have the
    right field of view already, since its oversampling was removed.

    Args:
        x: complex64 images (…, z, y, x); any array-API namespace.
        encoded_fov: x, y, z, in mm.
        recon_fov: x, y, z, in mm.
        recon_matrix: x, y, z. Along z it counts for volumes only.
        threads: cores to use (NumPy only).

    Returns:
        complex64 (…, z, y, x); `x` itself if nothing changes.
    """
    sizes, final = {-1: recon_matrix[0]}, {-1: recon_matrix[0]}
    for axis, encoded, wanted, pixels in (
        (-2, encoded_fov[1], recon_fov[1], recon_matrix[1]),
        (-3, encoded_fov[2], recon_fov[2], recon_matrix[2]),
    ):
        if axis == -3 and x.shape[axis] <= 1:
            continue
        sizes[axis] = final[axis] = pixels
        if abs(encoded - wanted) >= _SAME_FOV_MM and wanted > 0:
            # An even number of pixels of the size asked for over the encoded field of view.
            sizes[axis] = max(2, 2 * math.floor(encoded * pixels / wanted / 2 + 0.5))
    return crop_or_pad(resize_images(x, sizes, threads=threads), final)
