"""Zeros that take memory only where they are written to."""

from __future__ import annotations

import math
import mmap

import numpy as np

#: Below this memory is used again faster than it is got from the kernel.
_BYTES_MIN = 1 << 20


def lazy_zeros(shape: tuple[int, ...], dtype: type[np.generic] = np.complex64) -> np.ndarray:
    """As `np.zeros`, in fresh memory of its own.

    `np.zeros` writes to all of a block from the heap: it may have been used before.

    Raises:
        MemoryError: there is not so much.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes < _BYTES_MIN:
        return np.zeros(shape, dtype)
    try:
        memory = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no {n_bytes} bytes for an array of shape {shape}") from error
    return np.frombuffer(memory, dtype).reshape(shape)
