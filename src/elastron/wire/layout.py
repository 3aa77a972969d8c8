"""Byte layout of messages: where each field lies after the uint16 id (little-endian, packed)."""

from __future__ import annotations

import functools
import struct

import numpy as np

from elastron.mrd.acquisition import ACQUISITION_HEADER
from elastron.wire.messages import MessageId

UINT16 = struct.Struct("<H")
UINT32 = struct.Struct("<I")
UINT64 = struct.Struct("<Q")

#: FILENAME's payload: a NUL-terminated name in an array of this size.
FILENAME_BYTES = 1024

#: An acquisition's id and header.
ACQUISITION_HEAD_BYTES = 2 + ACQUISITION_HEADER.itemsize

#: flags, number_of_samples, available_channels, active_channels, trajectory_dimensions of an
#: acquisition, from the first byte of its message.
ACQUISITION_SIZES = struct.Struct("<4xQ24xHHH136xH")

#: SamplingDescription of a DataBuffered: 54 bytes, padded to 56 by its alignment in C++.
SAMPLING = np.dtype(
    {
        "names": ["encoded_fov", "recon_fov", "encoded_matrix", "recon_matrix", "limits"],
        "formats": [("<f4", 3), ("<f4", 3), ("<u2", 3), ("<u2", 3), ("<u2", (3, 3))],
        "offsets": [0, 12, 24, 30, 36],
        "itemsize": 56,
    }
)

#: What must be equal within a run: id, top 16 flags, number_of_samples, active_channels,
#: trajectory_dimensions. Their positions in 16-bit words, and the bits that count: of the flags
#: COMPRESSION1 and COMPRESSION2 (bits 52 and 53).
ACQUISITION_RUN = struct.Struct("<H8xH24xH2xH136xH")
RUN_WORDS = (0, 5, 18, 20, 89)
RUN_MASK = (0xFFFF, 0x0030, 0xFFFF, 0xFFFF, 0xFFFF)


@functools.lru_cache(maxsize=64)
def acquisition_message(channels: int, samples: int, dimensions: int) -> np.dtype:
    """One ISMRMRD_ACQUISITION message, id included, as a structured dtype.

    Fields: `id`, `head`, `trajectory` (samples, dimensions; only if there is one), and `data`
    (channels, samples).
    """
    members: list[tuple[str, object] | tuple[str, object, tuple[int, ...]]] = [
        ("id", "<u2"),
        ("head", ACQUISITION_HEADER),
    ]
    if dimensions:
        members.append(("trajectory", "<f4", (samples, dimensions)))
    members.append(("data", "<c8", (channels, samples)))
    return np.dtype(members)


def acquisition_body_bytes(channels: int, samples: int, dimensions: int) -> int:
    """Bytes of trajectory and samples of one uncompressed acquisition."""
    return samples * (8 * channels + 4 * dimensions)


def name_of(message_id: int) -> str:
    """A message's name and number, for errors."""
    try:
        return f"{MessageId(message_id).name} ({message_id})"
    except ValueError:
        return f"message {message_id}"
