"""Noise covariance and prewhitening.

Roemer PB, et al. The NMR phased array. Magn Reson Med 1990;16:192-225; Pruessmann KP, et al.
Advances in sensitivity encoding with arbitrary k-space trajectories. Magn Reson Med
2001;46:638-651. Noise bandwidth and SNR units: Kellman P, McVeigh ER. Image reconstruction in SNR
units. Magn Reson Med 2005;54:1439-1447.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from elastron.errors import DataError

#: Bytes of samples mixed at a time, so that they stay in a core's cache.
_BLOCK_BYTES = 1 << 18


def covariance_sum(noise: Any, earlier: Any = None) -> Any:
    """Sum over samples of conj(n_i) n_j.

    Added up readout by readout, so that the result has the same bits however the readouts of a
    scan are spread over batches.

    Args:
        noise: complex64, (n, channels, samples).
        earlier: sum over the readouts before, from this function.

    Returns:
        complex128, (channels, channels), Hermitian; a new array.
    """
    xp = array_namespace(noise)
    channels = noise.shape[1]
    total = xp.zeros((channels, channels), dtype=xp.complex128) if earlier is None else earlier + 0
    for readout in noise:
        total += xp.conj(readout) @ xp.matrix_transpose(readout)
    return total


def prewhitening_matrix(covariance: np.ndarray) -> np.ndarray:
    """Matrix that makes noise uncorrelated and of unit variance.

    With the covariance C = Rᴴ R (R upper triangular), samples d (channels) become R⁻ᵀ d.

    Args:
        covariance: complex64, (channels, channels), of conj(n_i) n_j; all zero means unknown.

    Returns:
        complex64, (channels, channels), to be multiplied from the left. Identity where nothing is
        known.

    Raises:
        DataError: the covariance is not positive definite.
    """
    c = covariance.astype(np.complex128)
    if not np.abs(c).any():
        return np.eye(len(c), dtype=np.complex64)
    try:
        lower = np.linalg.cholesky(c)
    except np.linalg.LinAlgError as error:
        raise DataError(
            f"the noise covariance of {len(c)} channels is not positive definite: too few noise "
            "samples, or a channel without noise; repeat the noise scan"
        ) from error
    # R = Lᴴ, so R⁻ᵀ = conj(L)⁻¹.
    return np.linalg.inv(lower.conj()).astype(np.complex64)


def noise_scale(
    acquisition_dwell_time_us: float, noise_dwell_time_us: float, receiver_noise_bandwidth: float
) -> float:
    """Factor from noise of another dwell time to unit variance in the real and imaginary part.

    sqrt(2 t_acq / t_noise b); 1 where a dwell time is unknown (0).
    """
    if acquisition_dwell_time_us <= 0 or noise_dwell_time_us <= 0:
        return 1.0
    return math.sqrt(2 * acquisition_dwell_time_us / noise_dwell_time_us * receiver_noise_bandwidth)


def mix_channels(matrix: Any, x: Any) -> Any:
    """Multiply the channels of readouts by a matrix.

    Args:
        matrix: complex64, (channels out, channels in).
        x: complex64, (n, channels in, samples); unaligned and read-only views are welcome.

    Returns:
        complex64, (n, channels out, samples), contiguous.
    """
    if not is_numpy_array(x) or not x.size or (x.flags.c_contiguous and x.flags.aligned):
        return array_namespace(x).matmul(matrix, x)
    # NumPy would make one copy of all of an unaligned array; a small one stays in the cache.
    n, _, samples = x.shape
    mixed = np.empty((n, len(matrix), samples), np.complex64)
    step = max(1, _BLOCK_BYTES // x[0].nbytes)
    work = np.empty((min(step, n), *x.shape[1:]), np.complex64)
    for start in range(0, n, step):
        part = mixed[start : start + step]
        block = work[: len(part)]
        block[...] = x[start : start + step]
        np.matmul(matrix, block, out=part)
    return mixed
