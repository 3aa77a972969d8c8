"""Images in SNR units.

With prewhitened data (unit noise variance), orthonormal FFTs and root-sum-of-squares or
unit-norm coil combination, a pixel's value is its signal-to-noise ratio (Kellman P,
McVeigh ER. Image reconstruction in SNR units. Magn Reson Med 2005;54:1439-1447). Zero filling
lowers the noise of an orthonormal FFT; the factors here restore it to 1.
"""

from __future__ import annotations

import math


def snr_scaling(
    lines: int, lines_sampled: int, readout: int, readout_sampled: int
) -> tuple[float, float]:
    """Noise scaling of zero-filled k-space.

    Args:
        lines: phase encoding lines of the buffer.
        lines_sampled: how many of them hold data.
        readout: samples of a line.
        readout_sampled: samples between the first and the last acquired one.

    Returns:
        Effective acceleration (lines / sampled lines), and the factor that brings the noise
        of the orthonormal inverse FFT back to 1: sqrt(effective acceleration x readout /
        readout sampled). Both are 1 where nothing was sampled.
    """
    if lines_sampled <= 0:
        return 1.0, 1.0
    acceleration = lines / lines_sampled
    return acceleration, math.sqrt(acceleration * readout / max(1, readout_sampled))
