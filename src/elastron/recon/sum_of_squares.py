"""Root sum of squares over coils, fused with the inverse transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft
from array_api_compat import array_namespace, is_numpy_array

from elastron.recon.fft import ifft

#: Bytes of coil images treated at a time by one core, so that both passes hit its cache.
_BLOCK_BYTES = 512 << 10


def magnitude_image(
    kspace: Any, axes: Sequence[int], *, threads: int = 1, overwrite: bool = False
) -> Any:
    """Root sum of squares of the coils' inverse transforms.

    sqrt(sum over coils |ifft(kspace, axes)|^2), the combination without coil maps of Roemer
    (1990), in one pass: rotations of the input change the phase only, and those of the output
    are done on the combined image.

    Args:
        kspace: complex64 (coils, z, y, x), each axis in k-space or image space.
        axes: the axes to transform.
        threads: cores to use (NumPy only).
        overwrite: `kspace` may be used as scratch space.

    Returns:
        float32 (z, y, x).
    """
    if not is_numpy_array(kspace):
        xp = array_namespace(kspace)
        image = ifft(kspace, axes)
        return xp.sqrt(xp.sum(xp.real(image) ** 2 + xp.imag(image) ** 2, axis=0))
    axes = sorted({axis % kspace.ndim for axis in axes})
    axes = [axis for axis in axes if kspace.shape[axis] > 1]
    total = np.zeros((*kspace.shape[1:-1], kspace.shape[-1] * 2), np.float32)
    if kspace.size:
        overwrite = overwrite and kspace.flags.writeable and kspace.flags.aligned
        step = max(1, threads * _BLOCK_BYTES // kspace[0].nbytes)
        for start in range(0, len(kspace), step):
            block = kspace[start : start + step]
            _add_squares(block, axes, total, threads=threads, overwrite=overwrite)
    image = total[..., ::2] + total[..., 1::2]
    np.sqrt(image, out=image)
    return np.fft.fftshift(image, axes=[axis - 1 for axis in axes])


def _add_squares(
    block: np.ndarray, axes: Sequence[int], total: np.ndarray, *, threads: int, overwrite: bool
) -> None:
    """Add the squares of real and imaginary parts of the coils' transforms to `total`."""
    images: Any = block
    if axes:
        images = scipy.fft.ifftn(
            block, axes=axes, norm="ortho", workers=max(1, threads), overwrite_x=overwrite
        )
        overwrite = True
    parts = np.ascontiguousarray(images).view(np.float32)
    squares = np.multiply(parts, parts, out=parts if overwrite else None)
    for coil in squares:
        total += coil
