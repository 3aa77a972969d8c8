"""Removal of readout oversampling: transform, crop in image space, transform back.

Works through the readouts in blocks that stay in a core's cache. The rotations of the centred
transforms are sign flips (see `fft`), and those of the two transforms that meet in image space
cancel, so a block costs the transforms and two cheap passes; the crop is one of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from array_api_compat import is_numpy_array

from elastron.recon.fft import copy_alternate_signs, fft, flip_alternate_signs, ifft

#: Bytes of samples treated at a time by one core.
_BLOCK_BYTES = 1 << 20


def cropped_length(n_samples: int, ratio: float) -> int:
    """Samples that remain of `n_samples` when the field of view shrinks `ratio` times."""
    return int(np.float32(n_samples) / np.float32(ratio))


def remove_oversampling(x: Any, n_out: int, *, to_kspace: bool = True, threads: int = 1) -> Any:
    """Crop readouts to the central `n_out` points of image space.

    Args:
        x: complex64 (..., samples), k-space; unaligned and read-only views are welcome.
        n_out: points to keep, at most as many as there are samples.
        to_kspace: return k-space; else leave the readout in image space.
        threads: cores to use (NumPy only).

    Returns:
        complex64 (..., n_out), contiguous, never a view of `x`. Values are those of `ifft`
        (and `fft`): the scale is 1/sqrt(samples) (and 1/sqrt(n_out)).
    """
    n_in = x.shape[-1]
    start = (n_in - n_out) // 2
    if not is_numpy_array(x) or n_in % 2 or n_out % 2:
        y = ifft(x, -1, threads=threads)[..., start : start + n_out]
        return fft(y, -1, threads=threads) if to_kspace else y + 0

    threads = max(1, threads)
    rows = x.reshape(-1, n_in) if x.flags.c_contiguous or x.ndim == 1 else x
    out = np.empty((*rows.shape[:-1], n_out), dtype=np.complex64)
    if not out.size:
        return out.reshape(*x.shape[:-1], n_out)
    step = min(len(rows), max(1, threads * _BLOCK_BYTES // (rows[0].size * 8)))
    work = np.empty((step, *rows.shape[1:]), dtype=np.complex64)
    last, before = work.ndim - 1, n_in // 2 - start
    negate = (n_in // 2 + start + (n_out // 2 if to_kspace else 0)) % 2 == 1
    for first in range(0, len(rows), step):
        result = out[first : first + step]
        block = work[: len(result)]
        block[...] = rows[first : first + step]
        # Centred inverse transform of point k: (-1)^(n_in/2 + k) IFFT{x}[(k + n_in/2) mod n_in] ...
        scipy.fft.ifft(block, norm="ortho", overwrite_x=True, workers=threads)
        if to_kspace:
            # ... whose (-1)^k the centred transform back would undo first.
            result[..., :before] = block[..., n_in - before :]
            result[..., before:] = block[..., : n_out - before]
            scipy.fft.fft(result, norm="ortho", overwrite_x=True, workers=threads)
            flip_alternate_signs(result, (last,), negate=negate)
        else:
            copy_alternate_signs(block[..., n_in - before :], result[..., :before], negate=negate)
            rest = block[..., : n_out - before]
            copy_alternate_signs(rest, result[..., before:], negate=negate ^ bool(before % 2))
    return out.reshape(*x.shape[:-1], n_out)


def resample_trajectory(trajectory: Any, n_out: int) -> Any:
    """Positions of the `n_out` samples that cover the same k-space as the original ones.

    Args:
        trajectory: float32 (n, samples, dimensions).
        n_out: samples after the crop.

    Returns:
        float32 (n, n_out, dimensions), linear in between; centre stays at index n // 2.
    """
    n_in = trajectory.shape[1]
    at = (np.arange(n_out) - n_out // 2) * (n_in / n_out) + n_in // 2
    at = np.clip(at, 0, n_in - 1)
    low = np.minimum(at.astype(np.intp), max(n_in - 2, 0))
    weight = (at - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, n_in - 1)
    result = trajectory[:, low] * (1 - weight) + trajectory[:, high] * weight
    return result.astype(np.float32)
