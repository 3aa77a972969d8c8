"""Standard deviation over repeated images."""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace


def std_map(x: Any, *, axis: int, start: int = 0) -> Any:
    """Standard deviation of the magnitude along an axis.

    Of images in SNR units it is 1 wherever the signal is well above the noise
    (Kellman and McVeigh, Magn Reson Med 54 (2005), 1439).

    Args:
        x: complex64 images; any array-API namespace.
        axis: of the repetitions.
        start: first repetition that counts; the ones before may not be in steady state.

    Returns:
        float32 of the shape of `x`, with length 1 along `axis`: the root of the mean squared
        deviation (divided by the number of repetitions, not by one less).
    """
    xp = array_namespace(x)
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, None)
    return xp.std(xp.abs(x[tuple(index)]), axis=axis, keepdims=True)
