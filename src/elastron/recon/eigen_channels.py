"""Virtual (eigen) channels: coil compression by principal components.

Buehrer M, et al. Array compression for MRI with large coil arrays. Magn Reson Med
2007;57:1131-1139; Huang F, et al. A software channel compression technique for faster
reconstruction with many channels. Magn Reson Imaging 2008;26:133-141.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array
from scipy.linalg import get_blas_funcs

from elastron.errors import DataError

#: Samples (of all channels) converted to double precision at a time.
_BLOCK_SAMPLES = 1 << 16
_herk: Any = get_blas_funcs("herk", dtype=np.complex128)


def eigen_channels(
    samples: Any, *, total: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of multi-channel samples, their mean removed.

    Args:
        samples: complex64, (channels, ...); any array-API namespace.
        total: complex128, (channels,), sum of the samples; None: it is taken from them. With that
            of their unitary transform, these are the principal components of the transform.

    Returns:
        Eigenvalues, float64 (channels,), descending; eigenvectors, complex128 (channels,
        components), with a real first row. (A LAPACK SVD leaves it real as well, so that
        algorithms that depend on the phase of channels agree with the Gadgetron's.)

    Raises:
        DataError: samples that are not finite.
    """
    xp = array_namespace(samples)
    flat = xp.reshape(samples, (samples.shape[0], -1))
    channels, count = flat.shape
    gram = np.zeros((channels, channels), np.complex128)
    summed = np.zeros(channels, np.complex128)
    step = max(1, _BLOCK_SAMPLES // channels)
    for start in range(0, count, step):
        # Weak channels drown in the rounding errors of strong ones in single precision.
        block = xp.astype(flat[:, start : min(start + step, count)], xp.complex128)
        gram += _gram(block)
        if total is None:
            summed += _host(xp.sum(block, axis=1))
    if not np.isfinite(gram.diagonal()).all():  # energies: the largest samples do not overflow
        raise DataError("samples that are not finite; channels cannot be compressed")
    total = summed if total is None else total
    gram -= total.conj()[:, None] * total[None, :] / max(1, count)
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    first = vectors[0]
    size = np.abs(first)
    phase = np.where(size > 0, first.conj() / np.where(size > 0, size, 1), 1)
    return values, vectors * phase


def count_kept(values: np.ndarray, *, threshold: float, modes: int = 0) -> int:
    """How many channels to keep.

    Args:
        values: energies of the channels, strongest first.
        threshold: channels from the first below `threshold` x the strongest are dropped; <= 0
            keeps all.
        modes: if positive, this number whatever the threshold (at most all).
    """
    if 0 < modes <= len(values):
        return modes
    if threshold <= 0:
        return len(values)
    weak = np.flatnonzero(values[1:] < threshold * values[0])
    return int(weak[0]) + 1 if len(weak) else len(values)


def combine_channels(samples: Any, vectors: np.ndarray) -> Any:
    """Channels into virtual channels: out_k = Σ_c samples_c v_ck.

    Args:
        samples: complex64, (..., channels, samples).
        vectors: (channels, components).

    Returns:
        complex64, (..., components, samples).
    """
    xp = array_namespace(samples)
    matrix = xp.asarray(np.ascontiguousarray(vectors.T).astype(np.complex64))
    return matrix @ samples


def _gram(block: Any) -> np.ndarray:
    """Σ_n conj(x_in) x_jn of complex128 (channels, n)."""
    if is_numpy_array(block):
        upper = np.triu(_herk(1.0, block.T, trans=2))  # half the products of a general one
        return upper + np.triu(upper, 1).conj().T
    xp = array_namespace(block)
    return _host(xp.conj(block) @ xp.matrix_transpose(block))


def _host(x: Any) -> np.ndarray:
    if is_numpy_array(x):
        return x
    return np.asarray(x.get() if hasattr(x, "get") else x)
