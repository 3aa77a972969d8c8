"""Images of regularly undersampled k-space, without transforming the lines left out.

Of N lines only every r-th, o + r m, was sampled. The centred transform of all of them is periodic
but for a phase: with M = N / r, the centres c_N = N // 2 and c_M = M // 2, and δ = o + r c_M - c_N,

    X(y) = sqrt(M / N) exp(2πi δ (y - c_N) / N) A((y - c_N + c_M) mod M),

where A is the centred, orthonormal transform of the M sampled lines. The phase is common to all
channels, and is applied to the combined image.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from elastron.recon.fft import ifft
from elastron.recon.grappa import unmix


def spacing(sampled: np.ndarray) -> tuple[int, int]:
    """First of the sampled lines and their common distance, which divides the number of lines.

    Args:
        sampled: bool, (lines,).

    Returns:
        Offset o and distance r: all sampled lines are among o, o + r, o + 2 r, … ; (0, 1) if
        nothing was sampled.
    """
    index = np.flatnonzero(sampled)
    if not len(index):
        return 0, 1
    distance = math.gcd(len(sampled), *np.diff(index).tolist())
    return int(index[0]) % distance, distance


def unmixed_image(
    kspace: Any, sampled: np.ndarray, unmixing: Any, *, readout: bool, threads: int = 1
) -> Any:
    """The combined image Σ_c u_c(r) x_c(r), x the inverse transform of k-space.

    Args:
        kspace: complex64, (channels, E2, E1, RO); 0 where nothing was sampled. Channels beyond
            those of `unmixing` are unused.
        sampled: bool, (E2, E1).
        unmixing: complex64, (channels, z, y, x).
        readout: transform along the readout as well; else it is in image space already.
        threads: for the FFTs.

    Returns:
        complex64, (z, y, x).
    """
    xp = array_namespace(kspace)
    sizes = tuple(kspace.shape[1:3])
    found = (spacing(np.any(sampled, axis=1)), spacing(np.any(sampled, axis=0)))
    (first2, step2), (first1, step1) = found
    # E2 has one line in 2D, which needs no transform.
    axes = [axis for axis, n in zip((1, 2), sizes, strict=True) if n > 1] + [3] * readout
    lines = kspace[: unmixing.shape[0], first2::step2, first1::step1, :]
    aliased = ifft(lines, axes, threads=threads)
    factor: Any = 1.0
    for axis, (n, (first, step)) in enumerate(zip(sizes, found, strict=True)):
        m = n // step
        if step > 1:
            aliased = xp.roll(aliased, n // 2 - m // 2, axis=axis + 1)
            shift = first + step * (m // 2) - n // 2
            turns = shift * (np.arange(n) - n // 2) / n
            phase = np.exp(2j * np.pi * turns) * math.sqrt(m / n)
            factor = factor * phase.reshape((-1, 1, 1) if axis == 0 else (-1, 1))

    image = xp.empty(unmixing.shape[1:], dtype=xp.complex64)
    depth, height = aliased.shape[1:3]
    for z, y in product(range(0, sizes[0], depth), range(0, sizes[1], height)):
        part = unmixing[:, z : z + depth, y : y + height, :]
        image[z : z + depth, y : y + height, :] = unmix(aliased, part)
    if max(step1, step2) > 1:
        image *= xp.asarray(factor.astype(np.complex64))
    return image
