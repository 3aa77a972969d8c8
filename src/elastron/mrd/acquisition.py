"""Acquisitions: headers, flags, and the batch every gadget works on."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from elastron.errors import DataError
from elastron.mrd.counters import COUNTERS, counter

#: ISMRMRD 1.x AcquisitionHeader: 340 bytes, packed, little-endian.
ACQUISITION_HEADER = np.dtype(
    [
        ("version", "<u2"),
        ("flags", "<u8"),
        ("measurement_uid", "<u4"),
        ("scan_counter", "<u4"),
        ("acquisition_time_stamp", "<u4"),
        ("physiology_time_stamp", "<u4", (3,)),
        ("number_of_samples", "<u2"),
        ("available_channels", "<u2"),
        ("active_channels", "<u2"),
        ("channel_mask", "<u8", (16,)),
        ("discard_pre", "<u2"),
        ("discard_post", "<u2"),
        ("center_sample", "<u2"),
        ("encoding_space_ref", "<u2"),
        ("trajectory_dimensions", "<u2"),
        ("sample_time_us", "<f4"),
        ("position", "<f4", (3,)),
        ("read_dir", "<f4", (3,)),
        ("phase_dir", "<f4", (3,)),
        ("slice_dir", "<f4", (3,)),
        ("patient_table_position", "<f4", (3,)),
        ("idx", COUNTERS),
        ("user_int", "<i4", (8,)),
        ("user_float", "<f4", (8,)),
    ]
)


_RAW = np.dtype((np.void, ACQUISITION_HEADER.itemsize))


def raw_headers(headers: np.ndarray) -> np.ndarray:
    """The same memory as bytes: numpy copies these ten times faster than field by field.

    Args:
        headers: `ACQUISITION_HEADER`, any shape and strides.

    Returns:
        A view of opaque items; `.view(ACQUISITION_HEADER)` goes back.
    """
    return headers.view(_RAW)


_WORDS = np.dtype(("<u2", ACQUISITION_HEADER.itemsize // 2))


def _words_of(layout: np.dtype, start: int = 0) -> dict[str, slice]:
    """Which 16-bit words each field of a structure takes, if it begins at byte `start`."""
    return {
        name: slice((start + at) // 2, (start + at + part.itemsize) // 2)
        for name, (part, at, *_) in (layout.fields or {}).items()
    }


_FIELDS = _words_of(ACQUISITION_HEADER)
_FIELDS |= _words_of(COUNTERS, 2 * _FIELDS["idx"].start)


class AcquisitionFlag(enum.IntEnum):
    """Flag numbers of the MRD standard; bit `n` is `1 << (n - 1)`."""

    FIRST_IN_ENCODE_STEP1 = 1
    LAST_IN_ENCODE_STEP1 = 2
    FIRST_IN_ENCODE_STEP2 = 3
    LAST_IN_ENCODE_STEP2 = 4
    FIRST_IN_AVERAGE = 5
    LAST_IN_AVERAGE = 6
    FIRST_IN_SLICE = 7
    LAST_IN_SLICE = 8
    FIRST_IN_CONTRAST = 9
    LAST_IN_CONTRAST = 10
    FIRST_IN_PHASE = 11
    LAST_IN_PHASE = 12
    FIRST_IN_REPETITION = 13
    LAST_IN_REPETITION = 14
    FIRST_IN_SET = 15
    LAST_IN_SET = 16
    FIRST_IN_SEGMENT = 17
    LAST_IN_SEGMENT = 18
    IS_NOISE_MEASUREMENT = 19
    IS_PARALLEL_CALIBRATION = 20
    IS_PARALLEL_CALIBRATION_AND_IMAGING = 21
    IS_REVERSE = 22
    IS_NAVIGATION_DATA = 23
    IS_PHASECORR_DATA = 24
    LAST_IN_MEASUREMENT = 25
    IS_HPFEEDBACK_DATA = 26
    IS_DUMMYSCAN_DATA = 27
    IS_RTFEEDBACK_DATA = 28
    IS_SURFACECOILCORRECTIONSCAN_DATA = 29
    IS_PHASE_STABILIZATION_REFERENCE = 30
    IS_PHASE_STABILIZATION = 31
    COMPRESSION1 = 53
    COMPRESSION2 = 54
    COMPRESSION3 = 55
    COMPRESSION4 = 56
    USER1 = 57
    USER2 = 58
    USER3 = 59
    USER4 = 60
    USER5 = 61
    USER6 = 62
    USER7 = 63
    USER8 = 64

    @property
    def mask(self) -> np.uint64:
        """The flag as a bit mask."""
        return np.uint64(1 << (self.value - 1))


def any_flag(headers: np.ndarray, *flags: AcquisitionFlag) -> np.ndarray:
    """True where at least one of `flags` is set; bool array of the shape of `headers`."""
    return (headers["flags"] & _mask(flags)) != 0


@lru_cache(maxsize=64)
def _mask(flags: tuple[AcquisitionFlag, ...]) -> np.uint64:
    # Asked for several times a batch; an enumeration's value costs ten times as much as this.
    return np.bitwise_or.reduce([flag.mask for flag in flags], initial=np.uint64(0))


def agreed_fields(headers: np.ndarray) -> frozenset[str]:
    """Names of the fields and counters that have the same value in all headers.

    One look at all of them costs as much as one at two or three by name.

    Args:
        headers: `ACQUISITION_HEADER`, shape (n,).
    """
    words = raw_headers(headers).view(_WORDS)
    differs = (words != words[:1]).any(axis=0).tobytes()
    return frozenset([name for name, at in _FIELDS.items() if 1 not in differs[at]])


class ReadoutDomain(enum.Enum):
    """Where the readout axis stands: as acquired, or already Fourier transformed.

    Gadgets that can work after the readout transform say so (`Gadget.hybrid`), so that a
    chain does not transform back and forth between neighbours.
    """

    KSPACE = "kspace"
    IMAGE = "image"


@dataclass(frozen=True, slots=True, eq=False)
class AcquisitionBatch:
    """A run of acquisitions of equal size: structure of arrays.

    Attributes:
        headers: structured array `ACQUISITION_HEADER`, shape (n,).
        data: complex64, shape (n, channels, samples); often an unaligned, read-only view of
            the receive buffer.
        trajectory: float32, shape (n, samples, dimensions), or None. Units as in the MRD
            header, usually 1/FOV.
        readout_domain: of `data`'s last axis.
        mixing: complex64, (channels, channels), that the channels are still to be multiplied by;
            None: they are as they should be. Only between gadgets of a chain that agree on it.
    """

    headers: np.ndarray
    data: np.ndarray
    trajectory: np.ndarray | None = None
    readout_domain: ReadoutDomain = ReadoutDomain.KSPACE
    mixing: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.headers)

    @property
    def nbytes(self) -> int:
        """Bytes held by headers, samples and trajectory."""
        extra = 0 if self.trajectory is None else self.trajectory.nbytes
        return self.headers.nbytes + self.data.nbytes + extra

    def any_flag(self, *flags: AcquisitionFlag) -> np.ndarray:
        """True where at least one of `flags` is set; bool, shape (n,)."""
        return any_flag(self.headers, *flags)

    def counter(self, name: str) -> np.ndarray:
        """Values of one encoding counter; uint16, shape (n,)."""
        return counter(self.headers, name)

    def select(self, index: Any) -> AcquisitionBatch:
        """A batch of the rows that `index` (slice, mask or integers) picks."""
        trajectory = None if self.trajectory is None else self.trajectory[index]
        headers = raw_headers(self.headers)[index].view(self.headers.dtype)
        return replace(self, headers=headers, data=self.data[index], trajectory=trajectory)

    def runs(self, *values: np.ndarray) -> Iterator[AcquisitionBatch]:
        """The batch, in order, cut wherever one of `values` (each of shape (n,)) changes.

        Runs are views; a batch of one run is itself, an empty batch has none.
        """
        changed = np.zeros(max(len(self) - 1, 0), dtype=bool)
        for value in values:
            changed |= value[1:] != value[:-1]
        cuts = [0, *(np.flatnonzero(changed) + 1).tolist(), len(self)]
        for start, stop in pairwise(cuts):
            if stop - start == len(self) > 0:
                yield self
            elif stop > start:
                yield self.select(slice(start, stop))


#: Compression is undone where bytes become batches; a batch that says otherwise would be misread.
_COMPRESSION_MASK = (
    AcquisitionFlag.COMPRESSION1.mask
    | AcquisitionFlag.COMPRESSION2.mask
    | AcquisitionFlag.COMPRESSION3.mask
    | AcquisitionFlag.COMPRESSION4.mask
)


def written_headers(batch: AcquisitionBatch) -> np.ndarray:
    """The batch's headers as they are sent or stored: sizes as its arrays have them.

    Returns:
        `ACQUISITION_HEADER`, shape (n,); a copy only if something differs.

    Raises:
        DataError: more samples, channels or dimensions than a header can say, or a readout axis
            that is not in k-space, or channels still to be mixed.
    """
    if batch.readout_domain is not ReadoutDomain.KSPACE:
        raise DataError("A readout that was Fourier transformed cannot be sent or stored as MRD.")
    if batch.mixing is not None:
        raise DataError("A readout whose channels are still to be mixed cannot be sent or stored.")
    channels, samples = batch.data.shape[1:]
    sizes = {
        "number_of_samples": samples,
        "active_channels": channels,
        "trajectory_dimensions": 0 if batch.trajectory is None else batch.trajectory.shape[2],
    }
    if max(sizes.values()) > 65535:
        raise DataError(f"A readout has the sizes {sizes}; MRD holds 65535 of each at most.")
    headers = batch.headers
    compressed = bool((headers["flags"] & _COMPRESSION_MASK).any())
    if compressed or any((headers[name] != size).any() for name, size in sizes.items()):
        headers = raw_headers(headers).copy().view(headers.dtype)
        headers["flags"] &= ~_COMPRESSION_MASK
        for name, size in sizes.items():
            headers[name] = size
    return headers


def joined_headers(batches: Iterable[AcquisitionBatch]) -> np.ndarray:
    """The headers of all batches in one array, `ACQUISITION_HEADER` (n,)."""
    parts = [raw_headers(batch.headers) for batch in batches]
    return np.concatenate(parts or [np.zeros(0, _RAW)]).view(ACQUISITION_HEADER)
