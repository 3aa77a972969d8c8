"""Runs of equal acquisitions: found without looking at a sample."""

from __future__ import annotations

import struct

import numpy as np

from elastron.mrd.acquisition import AcquisitionFlag
from elastron.wire.cursor import Bounds
from elastron.wire.layout import ACQUISITION_RUN, RUN_MASK, RUN_WORDS, acquisition_body_bytes

#: Flags of an acquisition whose length its header does not tell.
COMPRESSED = int(AcquisitionFlag.COMPRESSION1.mask | AcquisitionFlag.COMPRESSION2.mask)

#: Rows compared one by one at most, and in the first look at many; each further look takes four
#: times as many, so that a stream of ever-changing shapes costs no more than it must.
_NEAR_ROWS = 12
_FIRST_LOOK = 64
_RUN_WORDS = np.array(RUN_WORDS)
_RUN_MASK = np.array(RUN_MASK, "<u2")


def check_acquisition(bounds: Bounds, channels: int, samples: int, dimensions: int) -> None:
    """Refuse an uncompressed acquisition beyond `Limits.acquisition_bytes`.

    Raises:
        LimitError: it is.
    """
    bounds.check(
        acquisition_body_bytes(channels, samples, dimensions),
        "acquisition_bytes",
        f"number of bytes of {samples} samples, {channels} channels and {dimensions} "
        "trajectory dimensions",
    )


def run_length(memory: np.ndarray, start: int, count: int, message_bytes: int) -> int:
    """How many of `count` messages of one length are acquisitions of the first one's sizes.

    Args:
        memory: uint8.
        start: of the first message, which is one.
        count: messages to look at.
        message_bytes: of each; even.
    """
    sizes = ACQUISITION_RUN.unpack_from(memory.data, start)
    # A few are compared faster one by one; and many need not be looked at if the second differs.
    row, near = 1, count if count <= _NEAR_ROWS else 2
    while row < near:
        other = ACQUISITION_RUN.unpack_from(memory.data, start + row * message_bytes)
        if other != sizes and not _same_run(other, sizes):
            return row
        row += 1
    if row == count:
        return count
    words = np.ndarray((count, message_bytes // 2), "<u2", memory, start)
    pattern = struct.pack("<5H", *(a & mask for a, mask in zip(sizes, RUN_MASK, strict=True)))
    look = _FIRST_LOOK
    while row < count:
        found = words[row : row + look, _RUN_WORDS] & _RUN_MASK
        if found.tobytes() != pattern * len(found):
            same = (found == np.frombuffer(pattern, "<u2")).all(1)
            return row + int(same.argmin())
        row += len(found)
        look *= 4
    return count


def _same_run(other: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    return all((a & mask) == (b & mask) for a, b, mask in zip(other, sizes, RUN_MASK, strict=True))
