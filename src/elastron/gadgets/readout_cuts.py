"""Which samples of a readout are taken, where they stand in its line, and whether they can be."""

from __future__ import annotations

import numpy as np

from elastron.errors import DataError
from elastron.gadgets.encoded_space import EncodedSpace
from elastron.mrd.acquisition import AcquisitionBatch, ReadoutDomain
from elastron.mrd.buffers import DataBuffered, Sampling

#: Scan counters named in a message.
_NAMED_READOUTS = 5


def cuts_of(
    headers: np.ndarray, length: int, sampling: Sampling, space: EncodedSpace
) -> np.ndarray:
    """First sample taken, number taken, and its place in the line; integers (readouts, 3)."""
    samples = headers["number_of_samples"].astype(np.intp)
    centre = headers["center_sample"].astype(np.intp)
    first = headers["discard_pre"].astype(np.intp)
    count = samples - first - headers["discard_post"].astype(np.intp)
    offset = np.zeros_like(first)
    if space.cartesian:
        # A readout of full length whose centre is in the middle, or that names none, stays.
        stays = (samples == length) & ((centre == samples // 2) | (centre >= samples))
        offset = np.where(stays, first, sampling.limits[0].center - centre)
    return np.stack([first, count, offset], axis=1)


def whole(cuts: np.ndarray, length: int) -> np.ndarray:
    """Which readouts fill their lines, so that no sample is cut or left out; bool."""
    return (cuts == (0, length, 0)).all(axis=1)


def check_fit(header: np.ndarray, buffer: DataBuffered, count: int, offset: int) -> None:
    """Refuse a cut that does not fit into the lines of a buffer.

    Raises:
        DataError: names the readout.
    """
    length = buffer.data.shape[-1]
    if offset >= 0 and count >= 1 and offset + count <= length:
        return
    raise DataError(
        f"Readout {header['scan_counter']} does not fit its line of {length} samples: "
        f"number_of_samples {header['number_of_samples']}, center_sample "
        f"{header['center_sample']}, discard_pre {header['discard_pre']}, discard_post "
        f"{header['discard_post']}. For asymmetric echoes add AsymmetricEchoAdjustROGadget to the "
        "config, before RemoveROOversamplingGadget."
    )


def check_finite(batch: AcquisitionBatch) -> None:
    """Refuse NaN and infinite samples.

    Raises:
        DataError: names their number and scan counters.
    """
    data = batch.data
    if batch.readout_domain is ReadoutDomain.IMAGE:
        data = data[..., :1]  # the transform has spread them over their readout
    # A sum is finite only if all its terms are; only if it is not, each is looked at.
    with np.errstate(all="ignore"):
        if np.isfinite(data.sum()):
            return
    bad = ~np.isfinite(data).reshape(len(batch), -1).all(axis=1)
    if not bad.any():
        return
    counters = batch.headers["scan_counter"][bad].tolist()
    shown = ", ".join(map(str, counters[:_NAMED_READOUTS]))
    more = ", ..." if len(counters) > _NAMED_READOUTS else ""
    raise DataError(
        f"{len(counters)} readout(s) hold NaN or infinite samples (scan counter {shown}{more}). "
        "The images would be NaN throughout; check the receiver or the file and send it again."
    )
