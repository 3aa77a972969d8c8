"""Waveforms: ECG, respiration, triggers and other physiological signals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: ISMRMRD 1.x WaveformHeader: 40 bytes with C alignment (6 bytes after version, 2 at the end).
WAVEFORM_HEADER = np.dtype(
    {
        "names": [
            "version",
            "flags",
            "measurement_uid",
            "scan_counter",
            "time_stamp",
            "number_of_samples",
            "channels",
            "sample_time_us",
            "waveform_id",
        ],
        "formats": ["<u2", "<u8", "<u4", "<u4", "<u4", "<u2", "<u2", "<f4", "<u2"],
        "offsets": [0, 8, 16, 20, 24, 28, 30, 32, 36],
        "itemsize": 40,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Waveform:
    """One waveform message.

    Attributes:
        header: structured scalar `WAVEFORM_HEADER`, shape ().
        data: uint32, shape (channels, samples).
    """

    header: np.ndarray
    data: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes held by header and samples."""
        return self.header.nbytes + self.data.nbytes
