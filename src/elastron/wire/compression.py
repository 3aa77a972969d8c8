"""Compressed acquisitions.

NHLBI (flag COMPRESSION2): every float as an integer of `bits` bits, value = integer / scale, so
the error is at most 0.5 / scale. Body: uint64 number of floats, float32 scale, uint8 bits, then
the integers in two's complement, packed from the lowest bit up.

ZFP (flag COMPRESSION1): a ZFP stream with its full header; needs the package `zfpy`.
"""

from __future__ import annotations

import importlib
import math
import struct
from typing import Any

import numpy as np

from elastron.errors import ProtocolError

_NHLBI_HEAD = struct.Struct("<QfB")
#: Eight integers of `bits` bits fill exactly `bits` bytes, whatever `bits` is.
_GROUP = 8
#: 64-bit words that hold a group of 32-bit integers, and one to spill into.
_WORDS = 5
_BITS_MAX = 31


def decompress_nhlbi(body: np.ndarray, floats: int) -> np.ndarray:
    """Undo NHLBI compression.

    Args:
        body: uint8.
        floats: how many the acquisition's header promises; nothing is allocated for others.

    Returns:
        float32, shape (floats,).

    Raises:
        ProtocolError: the body contradicts itself or the header.
    """
    if len(body) < _NHLBI_HEAD.size:
        raise ProtocolError(f"compressed samples are {len(body)} bytes long, too few for a head")
    elements, scale, bits = _NHLBI_HEAD.unpack_from(body.data)
    if elements != floats:
        raise ProtocolError(f"compressed samples hold {elements} floats, the header says {floats}")
    if not 1 <= bits <= 32:
        raise ProtocolError(f"compressed samples have {bits} bits each; 1 to 32 are possible")
    packed = body[_NHLBI_HEAD.size :]
    if len(packed) not in (_packed_bytes(elements, bits), _packed_bytes_float(elements, bits)):
        raise ProtocolError(
            f"{elements} floats of {bits} bits are {_packed_bytes(elements, bits)} bytes, "
            f"but {len(packed)} came"
        )
    if scale == 0 or not math.isfinite(scale):
        # The original divides a constant zero readout's maximum into its scale.
        return np.zeros(floats, np.float32)
    return _unpack(packed, elements, bits) / np.float32(scale)


def compress_nhlbi(
    values: np.ndarray, *, bits: int | None = None, tolerance: float | None = None
) -> bytes:
    """Compress one readout's floats.

    Args:
        values: float32, one axis.
        bits: of each integer, 1 to 31; or
        tolerance: largest error of a value, in units of the samples; bits follow from it.

    Raises:
        ValueError: neither or both given, bits out of range, or a tolerance too fine for 31 bits.
    """
    if (bits is None) == (tolerance is None):
        raise ValueError("give either bits or tolerance")
    values = np.ascontiguousarray(values, np.float32)
    largest = np.float32(np.abs(values).max(initial=0))
    if not np.isfinite(largest):
        raise ValueError("samples that are not finite cannot be compressed")
    if tolerance is not None:
        bits = _bits_for(largest, tolerance)
    if bits is None or not 1 <= bits <= _BITS_MAX:
        raise ValueError(f"bits is {bits}; 1 to {_BITS_MAX} are possible")
    scale = _scale_for(largest, bits)
    integers = np.rint(values * scale).astype(np.int64)
    head = _NHLBI_HEAD.pack(len(values), scale, bits)
    return head + _pack(integers, bits)


def decompress_zfp(body: np.ndarray, floats: int) -> np.ndarray:
    """Undo ZFP compression; arguments and errors as `decompress_nhlbi`."""
    try:
        zfpy: Any = importlib.import_module("zfpy")
    except ImportError:
        raise ProtocolError(
            "ZFP-compressed samples need the package 'zfpy', which is not installed here. Install "
            "it beside Elastron, or send uncompressed or NHLBI-compressed data (-P, -T)."
        ) from None
    try:
        values: np.ndarray[Any, Any] = np.asarray(zfpy.decompress_numpy(body.tobytes()))
    except Exception as error:
        raise ProtocolError(f"ZFP-compressed samples cannot be read: {error}") from error
    if values.size != floats or values.dtype != np.float32:
        raise ProtocolError(
            f"compressed samples hold {values.size} {values.dtype} values, the header says "
            f"{floats} floats"
        )
    return values.reshape(-1)


def _packed_bytes(elements: int, bits: int) -> int:
    return -(-elements * bits // 8)


def _packed_bytes_float(elements: int, bits: int) -> int:
    """As the original computes it, in 32-bit floats; differs above 2 MiB."""
    return math.ceil(np.float32(elements * bits) / np.float32(8))


def _bits_for(largest: np.float32, tolerance: float) -> int:
    """Bits with which no value is off by more than `tolerance`."""
    spacing = float(largest - np.nextafter(largest, np.float32(0)))
    if tolerance <= spacing:
        raise ValueError(
            f"tolerance {tolerance} is too fine for samples up to {float(largest)}; "
            "send them uncompressed"
        )
    return math.ceil(float(largest) * 0.5 / (tolerance - spacing)).bit_length() + 1


def _scale_for(largest: np.float32, bits: int) -> np.float32:
    """The largest scale at which the largest value still fits."""
    if largest == 0:
        return np.float32(1)
    top = (1 << (bits - 1)) - 1
    # One bit holds 0 and -1 only; a scale of 0 would mean nothing, so all values become 0.
    if top == 0:
        return np.float32(0.25) / largest
    with np.errstate(over="ignore"):
        for steps in range(top):
            scale = np.float32(top - steps) / largest
            if np.isfinite(scale) and int(np.rint(largest * scale)) <= top:
                return scale
    return np.float32(0.25) / largest


def _unpack(packed: np.ndarray, elements: int, bits: int) -> np.ndarray:
    groups = -(-elements // _GROUP)
    padded = np.zeros(groups * bits, np.uint8)
    padded[: len(packed)] = packed[: len(padded)]
    rows = np.zeros((groups, _WORDS * 8), np.uint8)
    rows[:, :bits] = padded.reshape(groups, bits)
    words = rows.view("<u8")
    out = np.empty((groups, _GROUP), np.float32)
    # Two shifts sign-extend: the integer's top bit goes to bit 63 and comes back down.
    down = np.int64(64 - bits)
    for k in range(_GROUP):
        word, shift = divmod(k * bits, 64)
        value = words[:, word] >> np.uint64(shift)
        if shift + bits > 64:
            value |= words[:, word + 1] << np.uint64(64 - shift)
        out[:, k] = (value << np.uint64(down)).view(np.int64) >> down
    return out.reshape(-1)[:elements]


def _pack(integers: np.ndarray, bits: int) -> bytes:
    groups = -(-len(integers) // _GROUP)
    padded = np.zeros(groups * _GROUP, np.uint64)
    padded[: len(integers)] = integers.view(np.uint64)
    padded &= np.uint64((1 << bits) - 1)
    columns = padded.reshape(groups, _GROUP)
    words = np.zeros((groups, _WORDS), "<u8")
    for k in range(_GROUP):
        word, shift = divmod(k * bits, 64)
        words[:, word] |= columns[:, k] << np.uint64(shift)
        if shift + bits > 64:
            words[:, word + 1] |= columns[:, k] >> np.uint64(64 - shift)
    packed = words.view(np.uint8)[:, :bits].tobytes()[: _packed_bytes(len(integers), bits)]
    return packed.ljust(_packed_bytes_float(len(integers), bits), b"\0")
