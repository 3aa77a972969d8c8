"""How much data an MRD header announces."""

from __future__ import annotations

import math

from ismrmrd.xsd import encodingType, ismrmrdHeader

_COMPLEX64_BYTES = 8
#: Counters of an encoding space beside its lines; `segment` shares out lines that are counted.
_OUTER = ("average", "slice", "contrast", "phase", "repetition", "set")


def announced_bytes(header: ismrmrdHeader) -> int:
    """Bytes of samples that a scan has if it fills its encoding limits; 0 if that is not said.

    A guess: scanners announce more repetitions than they send, and calibration lines come on top.
    """
    system = header.acquisitionSystemInformation
    channels = (system.receiverChannels if system is not None else None) or 0
    samples = sum(_samples(encoding) for encoding in header.encoding)
    return samples * channels * _COMPLEX64_BYTES


def _samples(encoding: encodingType) -> int:
    """Of one channel."""
    matrix, limits = encoding.encodedSpace.matrixSize, encoding.encodingLimits
    samples = matrix.x * matrix.y * matrix.z
    if encoding.parallelImaging is not None:
        factor = encoding.parallelImaging.accelerationFactor
        samples //= max(1, factor.kspace_encoding_step_1) * max(1, factor.kspace_encoding_step_2)
    spans = [getattr(limits, name) for name in _OUTER]
    return samples * math.prod(
        max(1, span.maximum - span.minimum + 1) for span in spans if span is not None
    )
