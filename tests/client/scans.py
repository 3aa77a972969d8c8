"""Small scans for tests."""

from __future__ import annotations

import numpy as np

from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions

HEADER_XML = b"<ismrmrdHeader/>"


def make_batch(
    count: int, *, channels: int = 2, samples: int = 8, first: int = 0, seed: int = 0, flag=None
) -> AcquisitionBatch:
    """Random readouts; `scan_counter` and time stamp count from `first`."""
    rng = np.random.default_rng(seed)
    headers = np.zeros(count, ACQUISITION_HEADER)
    headers["version"] = 1
    headers["number_of_samples"] = samples
    headers["active_channels"] = headers["available_channels"] = channels
    headers["scan_counter"] = headers["acquisition_time_stamp"] = first + np.arange(count)
    headers["sample_time_us"] = 5
    if flag is not None:
        headers["flags"] = AcquisitionFlag(flag).mask
    parts = rng.normal(size=(count, channels, samples, 2)).astype(np.float32)
    return AcquisitionBatch(headers, parts.view(np.complex64)[..., 0])


def make_waveform(time_stamp: int) -> Waveform:
    header = np.zeros((), WAVEFORM_HEADER)
    header["time_stamp"], header["channels"], header["number_of_samples"] = time_stamp, 1, 4
    return Waveform(header, np.arange(4, dtype=np.uint32)[np.newaxis])


def phantom(**settings):
    """Header and batches of a small phantom scan."""
    return phantom_acquisitions(PhantomSettings(**{"matrix": 32, "coils": 4} | settings))
