"""SFNDAM: a simple n-dimensional array with metadata, as the Gadgetron stores dependencies.

Layout (Gadgetron core/io/sfndam.h, version 1), little-endian: `SFNDAM`, uint32 version, uint32
type, uint32 number of dimensions, uint64 each dimension, uint64 length of the metadata, values,
metadata (JSON). The Gadgetron writes its column-major matrices as they lie in memory; for C order
here, a matrix in a blob is therefore transposed.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from elastron.errors import StorageError

_MAGIC = b"SFNDAM"
_VERSION = 1
_CXFLOAT = 7
_HEAD = struct.Struct("<6sIII")
#: More than any receiver array has.
CHANNELS_MAX = 1024


@dataclass(frozen=True, slots=True, eq=False)
class NoiseCovariance:
    """A noise measurement.

    Attributes:
        covariance: complex64, (channels, channels): Σ_s conj(n_i) n_j / (samples - 1).
        labels: coil names, one a channel; may be empty.
        sample_count: noise samples it was computed from.
        dwell_time_us: of the noise readouts.
        receiver_noise_bandwidth: relative to the sampling bandwidth.
    """

    covariance: np.ndarray
    labels: tuple[str, ...]
    sample_count: int
    dwell_time_us: float
    receiver_noise_bandwidth: float

    def to_bytes(self) -> bytes:
        """The SFNDAM blob the Gadgetron's `NoiseAdjustGadget` reads."""
        n = len(self.covariance)
        meta = {
            "channels": n,
            "labels": list(self.labels),
            "noiseDwellTimeUs": self.dwell_time_us,
            "receiverNoiseBandwidth": self.receiver_noise_bandwidth,
            "sampleCount": self.sample_count,
        }
        text = json.dumps(meta).encode()
        head = _HEAD.pack(_MAGIC, _VERSION, _CXFLOAT, 2) + struct.pack("<QQQ", n, n, len(text))
        return head + np.ascontiguousarray(self.covariance.T, dtype="<c8").tobytes() + text

    @classmethod
    def from_bytes(cls, blob: bytes) -> NoiseCovariance:
        """Read what `to_bytes`, or a Gadgetron, wrote.

        Raises:
            StorageError: not such a blob, cut short, or values that contradict each other.
        """
        try:
            shape, values, meta = _parse(blob)
            n = int(meta["channels"])
            if shape != (n, n):
                raise ValueError(f"a matrix of {shape} for {n} channels")
            covariance = np.frombuffer(values, "<c8").reshape(n, n).T.astype(np.complex64)
            if not np.isfinite(covariance).all():
                raise ValueError("values that are not finite")
            return cls(
                covariance,
                tuple(str(label) for label in meta["labels"]),
                int(meta["sampleCount"]),
                float(meta["noiseDwellTimeUs"]),
                float(meta["receiverNoiseBandwidth"]),
            )
        except (ValueError, TypeError, KeyError, struct.error) as error:
            raise StorageError(
                f"The stored noise covariance cannot be read ({error}). Remove it and repeat the "
                "noise scan."
            ) from error


def _parse(blob: bytes) -> tuple[tuple[int, ...], bytes, dict[str, Any]]:
    magic, version, kind, n_dimensions = _HEAD.unpack_from(blob)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError("no SFNDAM blob of version 1")
    if kind != _CXFLOAT or n_dimensions != 2:
        raise ValueError(f"type {kind} of {n_dimensions} dimensions, not a complex float matrix")
    *shape, meta_length = struct.unpack_from("<QQQ", blob, _HEAD.size)
    if max(shape) > CHANNELS_MAX:
        raise ValueError(f"a matrix of {tuple(shape)}")
    start = _HEAD.size + 24
    stop = start + 8 * math.prod(shape)
    if len(blob) != stop + meta_length:
        raise ValueError(f"{len(blob)} bytes instead of {stop + meta_length}")
    return tuple(shape), blob[start:stop], json.loads(blob[stop:])
