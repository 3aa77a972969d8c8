"""Readouts that wait to be sorted into buffers, and the copying of their samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from elastron.errors import DataError
from elastron.gadgets.encoded_space import EncodedSpace
from elastron.mrd.acquisition import (
    ACQUISITION_HEADER,
    AcquisitionBatch,
    ReadoutDomain,
    joined_headers,
    raw_headers,
)
from elastron.mrd.buffers import DataBuffered
from elastron.recon.fft import fft

#: Counters that tell one reconstruction from another, in order of output.
KEY_COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set", "segment")

#: Values of `KEY_COUNTERS`; 0 for those that do not separate.
Key = tuple[int, ...]

#: Makes the space of readouts (all headers of an encoding space, its number), and an empty buffer
#: for some of them (their headers).
MakeSpace = Callable[[np.ndarray, int], EncodedSpace]
MakeBuffer = Callable[[np.ndarray, EncodedSpace], DataBuffered]

#: Scan counters named in a message.
_NAMED_READOUTS = 5


class Pile:
    """The readouts of one role in a bucket, handed out buffer by buffer.

    A batch is let go when its last readout has been copied.

    Args:
        batches: in order of arrival.
        cleared: of `KEY_COUNTERS`, those that do not separate.
        make_space: describes an encoding space.
        make_buffer: makes an empty buffer.
        log: for warnings.
        threads: for transforms.
    """

    def __init__(
        self,
        batches: list[AcquisitionBatch],
        *,
        cleared: frozenset[str],
        make_space: MakeSpace,
        make_buffer: MakeBuffer,
        log: Any,
        threads: int,
    ) -> None:
        self._batches = dict(enumerate(batches))
        self._starts = np.cumsum([0, *map(len, batches)])
        self._missing = np.diff(self._starts)
        self._make_space = make_space
        self._make_buffer = make_buffer
        self._log = log
        self._threads = threads
        self._spaces: dict[int, EncodedSpace] = {}
        self._rows: dict[Key, dict[int, np.ndarray]] = {}
        self._headers = joined_headers(batches)
        if len(self._headers):
            for key, number, rows in _keys(self._headers, cleared):
                self._rows.setdefault(key, {})[number] = rows

    def keys(self) -> Iterable[Key]:
        """Keys of the buffers to be made."""
        return self._rows.keys()

    def spaces(self, key: Key) -> Iterable[int]:
        """Numbers of the encoding spaces that have readouts of a key."""
        return self._rows.get(key, {}).keys()

    def take(self, key: Key, number: int) -> DataBuffered | None:
        """The buffer of a key in an encoding space; None if it has no readouts.

        Raises:
            DataError: counters or samples that contradict the MRD header.
        """
        rows = self._rows.get(key, {}).pop(number, None)
        if rows is None:
            return None
        if number not in self._spaces:
            here = self._headers[self._headers["encoding_space_ref"] == number]
            self._spaces[number] = self._make_space(here, number)
        space = self._spaces[number]
        headers = raw_headers(self._headers)[rows].view(ACQUISITION_HEADER)
        positions = space.place(headers, self._log)
        buffer = self._make_buffer(headers, space)
        cuts = _cuts(headers, buffer, space)
        bounds = np.searchsorted(rows, self._starts)
        used = np.flatnonzero(np.diff(bounds)).tolist()
        if self._in_image_space(used) and _is_whole(cuts, buffer):
            buffer.readout_domain = ReadoutDomain.IMAGE
        for i in used:
            batch = self._batches[i]
            low, high = np.searchsorted(positions.rows, bounds[i : i + 2]).tolist()
            mine = positions.rows[low:high]
            place = tuple(axis[low:high] for axis in positions.index)
            if len(mine):
                raw_headers(buffer.headers)[place] = raw_headers(headers)[mine]
                self._copy(batch, rows[mine] - self._starts[i], place, cuts[mine], buffer)
            self._missing[i] -= bounds[i + 1] - bounds[i]
            if not self._missing[i]:
                del self._batches[i]
            del batch
        return buffer

    def _in_image_space(self, used: list[int]) -> bool:
        return all(self._batches[i].readout_domain is ReadoutDomain.IMAGE for i in used)

    def _copy(
        self,
        batch: AcquisitionBatch,
        rows: np.ndarray,
        place: tuple[np.ndarray, ...],
        cuts: np.ndarray,
        buffer: DataBuffered,
    ) -> None:
        """Copy readouts to their lines.

        Args:
            batch: where they are.
            rows: which they are.
            place: loc, s, n, e2, e1 of each.
            cuts: of each, see `_cuts`.
            buffer: receives them.
        """
        back = batch.readout_domain is not buffer.readout_domain
        for cut, chosen in _alike(cuts):
            first, count, offset = cut.tolist()
            source = _run(rows[chosen])
            data = batch.data[source]
            if back:
                data = fft(data, -1, threads=self._threads)
            loc, s, n, e2, e1 = (axis[chosen] for axis in place)
            _check_fit(batch.headers[rows[chosen[0]]], buffer, count, offset)
            line, taken = slice(offset, offset + count), slice(first, first + count)
            buffer.data[loc, s, n, :, e2, e1, line] = data[..., taken]
            if buffer.trajectory is not None and batch.trajectory is not None:
                moved = batch.trajectory[source][:, taken]
                buffer.trajectory[loc, s, n, e2, e1, line] = moved


def _keys(headers: np.ndarray, cleared: frozenset[str]) -> Iterable[tuple[Key, int, np.ndarray]]:
    """Key, encoding space, and ascending readouts of each buffer."""
    table = np.zeros((len(headers), len(KEY_COUNTERS) + 1), dtype=np.uint16)
    for column, name in enumerate(KEY_COUNTERS):
        if name not in cleared:
            table[:, column] = headers["idx"][name]
    table[:, -1] = headers["encoding_space_ref"]
    if (table == table[0]).all():
        return [(tuple(table[0, :-1].tolist()), int(table[0, -1]), np.arange(len(headers)))]
    distinct, parts = _grouped(table)
    return [
        (tuple(values[:-1]), values[-1], rows)
        for values, rows in zip(distinct.tolist(), parts, strict=True)
    ]


def _grouped(table: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The distinct rows of a table, and where each stands."""
    distinct, which = np.unique(table, axis=0, return_inverse=True)
    which = which.reshape(-1)
    order = np.argsort(which, kind="stable")
    return distinct, np.split(order, np.cumsum(np.bincount(which))[:-1])


def _alike(cuts: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Each distinct cut and the readouts that have it."""
    if (cuts == cuts[0]).all():
        return [(cuts[0], np.arange(len(cuts)))]
    return zip(*_grouped(cuts), strict=True)


def _cuts(headers: np.ndarray, buffer: DataBuffered, space: EncodedSpace) -> np.ndarray:
    """First sample taken, number taken, and its place in the line; integers (readouts, 3)."""
    samples = headers["number_of_samples"].astype(np.intp)
    centre = headers["center_sample"].astype(np.intp)
    first = headers["discard_pre"].astype(np.intp)
    count = samples - first - headers["discard_post"].astype(np.intp)
    offset = np.zeros_like(first)
    if space.cartesian:
        # A readout of full length whose centre is in the middle, or that names none, stays.
        stays = (samples == buffer.data.shape[-1]) & (
            (centre == samples // 2) | (centre >= samples)
        )
        offset = np.where(stays, first, buffer.sampling.limits[0].center - centre)
    return np.stack([first, count, offset], axis=1)


def _run(rows: np.ndarray) -> np.ndarray | slice:
    """Ascending rows as a slice if they are a run: a view then, no copy."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    return slice(first, last) if last - first == len(rows) else rows


def _is_whole(cuts: np.ndarray, buffer: DataBuffered) -> bool:
    """Whether all readouts fill their lines, so that no sample is cut or left out."""
    return bool((cuts == (0, buffer.data.shape[-1], 0)).all())


def _check_fit(header: np.ndarray, buffer: DataBuffered, count: int, offset: int) -> None:
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
