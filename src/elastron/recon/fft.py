"""Centred, orthonormal Fourier transforms.

The zero frequency and the origin stand at index n // 2, and the scale is 1/sqrt(n) in both
directions, so that the transforms are unitary (the Gadgetron's `fftNc` and `ifftNc`).

For an even length n the two half-length rotations of a centred transform are sign changes: with
j' = j - n/2 and k' = k - n/2,

    exp(∓2πi j'k'/n) = (-1)^(n/2) (-1)^j (-1)^k exp(∓2πi jk/n),

so the data are rotated by flipping sign bits in place before and after a plain transform. That is
several times cheaper than copying blocks. Odd lengths are rotated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from array_api_compat import array_namespace, is_numpy_array

#: Sign bits of both parts of a complex64, seen as one 64-bit integer.
_SIGN_BITS = np.uint64(0x8000000080000000)
#: Largest table of sign bits kept (elements); 1 MiB, so that it stays in a core's cache.
_TABLE_MAX = 1 << 17
#: Short rows are treated together so that numpy's inner loop has at least this many elements.
_LOOP_LENGTH = 8192
#: Work is done in blocks of this size a core, so that all passes but the first hit its cache.
_BLOCK_BYTES = 1 << 20


def fft(x: Any, axes: int | Sequence[int], *, threads: int = 1, overwrite: bool = False) -> Any:
    """Centred, orthonormal Fourier transform: image to k-space.

    Args:
        x: complex64 of any shape; any array-API namespace. Other dtypes are converted.
        axes: the axes to transform; each once.
        threads: cores to use (NumPy only).
        overwrite: `x` may be used as scratch space, and may or may not become the result.

    Returns:
        complex64 of the shape of `x`.
    """
    return _transform(x, axes, inverse=False, threads=threads, overwrite=overwrite)


def ifft(x: Any, axes: int | Sequence[int], *, threads: int = 1, overwrite: bool = False) -> Any:
    """Centred, orthonormal inverse Fourier transform: k-space to image. See `fft`."""
    return _transform(x, axes, inverse=True, threads=threads, overwrite=overwrite)


def _transform(
    x: Any, axes: int | Sequence[int], *, inverse: bool, threads: int, overwrite: bool
) -> Any:
    xp = array_namespace(x)
    axes = sorted({axis % x.ndim for axis in ((axes,) if isinstance(axes, int) else axes)})
    axes = [axis for axis in axes if x.shape[axis] > 1]
    if not is_numpy_array(x):
        transform = xp.fft.ifftn if inverse else xp.fft.fftn
        x = xp.fft.ifftshift(xp.astype(x, xp.complex64, copy=False), axes=axes)
        return xp.fft.fftshift(transform(x, axes=axes, norm="ortho"), axes=axes) if axes else x

    y = x if overwrite and _usable(x) else np.array(x, dtype=np.complex64, order="C", subok=False)
    if not axes or not y.size:
        return y
    even = [axis for axis in axes if y.shape[axis] % 2 == 0]
    odd = [axis for axis in axes if y.shape[axis] % 2]
    if odd:
        y = np.fft.ifftshift(y, axes=odd)
    transform = scipy.fft.ifftn if inverse else scipy.fft.fftn
    negate = sum(y.shape[axis] // 2 for axis in even) % 2 == 1
    threads = max(1, threads)
    for block in _blocks(y, axes[0], threads * _BLOCK_BYTES):
        flip_alternate_signs(block, even)
        transform(block, axes=axes, norm="ortho", overwrite_x=True, workers=threads)
        flip_alternate_signs(block, even, negate=negate)
    return np.fft.fftshift(y, axes=odd) if odd else y


def _blocks(x: np.ndarray, axis: int, n_bytes: int) -> Iterator[np.ndarray]:
    """Views that cover contiguous `x`, cut before `axis`, of about `n_bytes` where possible."""
    rows = x.reshape(-1, *(1,) * (axis - 1), *x.shape[axis:]) if axis else x[None]
    step = max(1, n_bytes // (rows.nbytes // len(rows)))
    for start in range(0, len(rows), step):
        yield rows[start : start + step] if axis else rows[0]


def _usable(x: np.ndarray) -> bool:
    """Whether `x` can be transformed in place."""
    flags = x.flags
    return x.dtype == np.complex64 and flags.c_contiguous and flags.aligned and flags.writeable


def flip_alternate_signs(x: np.ndarray, axes: Sequence[int], *, negate: bool = False) -> None:
    """Multiply `x` in place by (-1)^k along each of `axes`, and by -1 if `negate`.

    Args:
        x: complex64, writable, aligned, with a contiguous last axis.
        axes: non-negative and ascending.
        negate: change all signs besides.
    """
    bits = x.view(np.uint64)
    if not axes:
        if negate:
            np.bitwise_xor(bits, _SIGN_BITS, out=bits)
        return
    first = axes[0]
    tail = x.shape[first:]
    if math.prod(tail) > _TABLE_MAX:
        before = (slice(None),) * first
        for parity in (0, 1):
            part = x[(*before, slice(parity, None, 2))]
            flip_alternate_signs(part, axes[1:], negate=negate ^ bool(parity))
        return
    if x.flags.c_contiguous:
        n_rows = math.prod(x.shape[:first])
        group = math.gcd(n_rows, max(1, _LOOP_LENGTH // math.prod(tail)))
        bits = bits.reshape(n_rows // group, group, *tail)
        table = _sign_table((group, *tail), tuple(axis - first + 1 for axis in axes), negate)
    else:
        table = _sign_table(tail, tuple(axis - first for axis in axes), negate)
    np.bitwise_xor(bits, table, out=bits)


def copy_alternate_signs(x: np.ndarray, out: np.ndarray, *, negate: bool = False) -> None:
    """Copy `x` times (-1)^k along its last axis, and times -1 if `negate`.

    Args:
        x: complex64 (..., n), aligned, with a contiguous last axis.
        out: the same, writable.
        negate: change all signs besides.
    """
    table = _sign_table((x.shape[-1],), (0,), negate)
    np.bitwise_xor(x.view(np.uint64), table, out=out.view(np.uint64))


@lru_cache(maxsize=32)
def _sign_table(shape: tuple[int, ...], axes: tuple[int, ...], negate: bool) -> np.ndarray:
    """`_SIGN_BITS` where the index sum over `axes` is odd (even if `negate`), else 0."""
    parity = np.zeros(shape, dtype=np.uint64)
    for axis in axes:
        shape_1d = [1] * len(shape)
        shape_1d[axis] = shape[axis]
        parity ^= (np.arange(shape[axis], dtype=np.uint64) & np.uint64(1)).reshape(shape_1d)
    table = (parity ^ np.uint64(negate)) * _SIGN_BITS
    table.flags.writeable = False
    return table
