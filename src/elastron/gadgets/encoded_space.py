"""Where readouts stand in sorted k-space, as one encoding of the MRD header describes it.

Rules follow Gadgetron 4.7.2 (`BucketToBufferGadget`). It differs where the original overwrites
lines, leaves memory, or drops lines that fit:

* N, S, slices and non-Cartesian lines are counted from the lowest value received, not from 0;
* `segment` as N or S has as many entries as there are segments (there: averages);
* without parallel imaging, E1 and E2 have the size of the encoded matrix where the lines, moved
  so that the centre of k-space is the centre of the matrix, would stand outside the limits' span;
* calibration lines that are interleaved with the data are moved like them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from elastron.errors import DataError, HeaderError
from elastron.mrd.buffers import Sampling, SamplingLimit

#: Counter of an E1 or E2 line, its limits' name in the MRD header, its axis in `Sampling`.
_LINES = (
    ("kspace_encode_step_1", "kspace_encoding_step_1", 1),
    ("kspace_encode_step_2", "kspace_encoding_step_2", 2),
)
_AXIS = "xyz"


@dataclass(frozen=True, slots=True)
class Sorting:
    """How counters become axes.

    Attributes:
        n_dimension: counter that becomes N, or `none`.
        s_dimension: counter that becomes S, or `none`.
        split_slices: every slice makes its own data; else slices are the axis LOC.
        lines_by_limits: see `BucketToBufferProperties`.
    """

    n_dimension: str = "none"
    s_dimension: str = "none"
    split_slices: bool = False
    lines_by_limits: bool = False


@dataclass(frozen=True, slots=True)
class Positions:
    """Where readouts go: one entry a readout that fits.

    Attributes:
        rows: which of the readouts.
        index: loc, s, n, e2, e1; integers.
    """

    rows: np.ndarray
    index: tuple[np.ndarray, ...]


class EncodedSpace:
    """Sizes, offsets and limits of the buffer for the readouts of one encoding space.

    Args:
        encoding: of the MRD header.
        number: of the encoding space, for messages.
        headers: all readouts of that space in a bucket, of one role; at least one.
        sorting: how counters become axes.
        for_reference: the readouts are calibration data.

    Attributes:
        lines_shape: (LOC, S, N, E2, E1).
        cartesian: lines are moved to the centre of the matrix; E0 offset applies.
        settled: sizes are those of the MRD header, and will be so whatever else is received.
    """

    def __init__(
        self,
        encoding: Any,
        number: int,
        headers: np.ndarray,
        sorting: Sorting,
        *,
        for_reference: bool,
    ) -> None:
        self.number = number
        self._sorting = sorting
        self._matrix = encoding.encodedSpace.matrixSize
        self._encoding = encoding
        trajectory = getattr(encoding.trajectory, "value", encoding.trajectory)
        self.cartesian = trajectory in {"cartesian", "epi"}
        self._is_epi = trajectory == "epi"
        self._has_parallel_imaging = encoding.parallelImaging is not None
        self._for_reference = for_reference
        mode = encoding.parallelImaging.calibrationMode if self._has_parallel_imaging else None
        mode = getattr(mode, "value", mode)
        self._own_lines = for_reference and mode in {"separate", "external"}
        self._limits = [self._limit(name, axis) for _, name, axis in _LINES]

        idx = headers["idx"]
        named = {"slice", sorting.n_dimension, sorting.s_dimension} - {"none"}
        axes = named - {"slice"} if sorting.split_slices else named
        self.settled = (
            self.cartesian
            and not self._own_lines
            and not any(_encodes_several(encoding.encodingLimits, name) for name in axes)
        )
        self._bases = {name: int(idx[name].min()) for name in named}
        self._first_lines = [int(idx[counter].min()) for counter, _, _ in _LINES]
        e1 = self._line_count(0, idx)
        e2 = self._line_count(1, idx)
        self.lines_shape = (
            self._slice_count(idx),
            self._count(sorting.s_dimension, idx),
            self._count(sorting.n_dimension, idx),
            e2,
            e1,
        )

    # Sizes

    def readout_length(self, first: np.ndarray) -> int:
        """Samples of a line of the buffer.

        Args:
            first: header of the first readout.

        Raises:
            DataError: more samples than encoded, or more discarded than there are.
        """
        samples = int(first["number_of_samples"])
        kept = samples - int(first["discard_pre"]) - int(first["discard_post"])
        if kept < 1:
            raise DataError(
                f"Readout {first['scan_counter']} has {samples} samples, of which "
                f"{first['discard_pre']} and {first['discard_post']} are to be discarded."
            )
        if self.cartesian and samples > self._matrix.x:
            raise DataError(
                f"Readout {first['scan_counter']} has number_of_samples {samples}, but the MRD "
                f"header encodes {self._matrix.x} (encodedSpace matrixSize x of encoding space "
                f"{self.number})."
            )
        return samples if self.cartesian and self._has_parallel_imaging else kept

    def _limit(self, name: str, axis: int) -> SamplingLimit:
        limit = getattr(self._encoding.encodingLimits, name)
        size = getattr(self._matrix, _AXIS[axis])
        if limit is None:
            return SamplingLimit(0, size // 2, max(size - 1, 0))
        return SamplingLimit(limit.minimum, limit.center, limit.maximum)

    def _shift(self, line: int) -> int:
        """What is added to a line's counter so that the centre is the matrix's centre."""
        if not self.cartesian or self._own_lines:
            return 0
        _, name, axis = _LINES[line]
        size = getattr(self._matrix, _AXIS[axis])
        if getattr(self._encoding.encodingLimits, name) is None or (axis == 2 and size <= 1):
            return 0
        return size // 2 - self._limits[line].center

    def _line_count(self, line: int, idx: np.ndarray) -> int:
        counter, name, axis = _LINES[line]
        limit, size = self._limits[line], getattr(self._matrix, _AXIS[axis])
        span = limit.maximum - limit.minimum + 1
        received = _span(idx[counter])
        given = getattr(self._encoding.encodingLimits, name) is not None
        if not self.cartesian:
            return max(1, span if given else received)
        if self._own_lines:
            # The original takes E2 from the limits, even if fewer were acquired.
            return max(1, received if line == 0 else max(span, received))
        shift = self._shift(line)
        fits = limit.minimum + shift >= 0 and limit.maximum + shift < span
        fits = fits or self._sorting.lines_by_limits
        return max(1, size if self._has_parallel_imaging or not fits else span)

    def _count(self, dimension: str, idx: np.ndarray) -> int:
        return 1 if dimension == "none" else _span(idx[dimension])

    def _slice_count(self, idx: np.ndarray) -> int:
        if self._sorting.split_slices:
            return 1
        received = _span(idx["slice"])
        limit = self._encoding.encodingLimits.slice
        allowed = limit.maximum - limit.minimum + 1 if limit is not None else 1
        if received > allowed:
            raise DataError(
                f"slice runs from {idx['slice'].min()} to {idx['slice'].max()}, but the MRD "
                f"header encodes {allowed} slice(s) (encodingLimits slice of encoding space "
                f"{self.number})."
            )
        return received

    # Positions

    def place(self, headers: np.ndarray, log: Any) -> Positions:
        """Where the readouts go.

        Lines inside the encoding limits but outside the encoded matrix are left out (as in the
        original), with a warning if there is a log.

        Raises:
            DataError: a line outside the encoding limits.
        """
        idx = headers["idx"]
        keep: np.ndarray | None = None
        lines = []
        for line, size in ((0, self.lines_shape[4]), (1, self.lines_shape[3])):
            index, inside = self._line_index(line, size, headers)
            if inside is not None:
                keep = inside if keep is None else keep & inside
                if log is not None:
                    log.warning(
                        "readouts inside the encoding limits but outside the encoded matrix left "
                        "out",
                        counter=_LINES[line][0],
                        readouts=int((~inside).sum()),
                        first_scan_counter=int(headers["scan_counter"][~inside][0]),
                        lines=size,
                    )
            lines.append(index)
        rows = np.arange(len(headers)) if keep is None else np.flatnonzero(keep)
        none = np.zeros(len(rows), dtype=np.intp)
        sorting = self._sorting

        def kept(values: np.ndarray) -> np.ndarray:
            return values if keep is None else values[keep]

        def along(name: str) -> np.ndarray:
            if name in {"none", "slice"}:  # the original files all slices under N or S 0
                return none
            return kept(idx[name]).astype(np.intp) - self._bases[name]

        location = none
        if self.lines_shape[0] > 1:
            location = kept(idx["slice"]).astype(np.intp) - self._bases["slice"]
        index = (location, along(sorting.s_dimension), along(sorting.n_dimension))
        return Positions(rows, (*index, kept(lines[1]), kept(lines[0])))

    def _line_index(
        self, line: int, size: int, headers: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Where the readouts stand along E1 or E2, and which stand inside; None if all do."""
        counter = _LINES[line][0]
        values = headers["idx"][counter].astype(np.intp)
        limit = self._limits[line]
        if self._own_lines:
            # Numbered in sequence from wherever the calibration lines begin.
            index = values - self._first_lines[line]
        elif self.cartesian:
            index = values + self._shift(line)
        else:
            index = values - limit.minimum
        if index.min(initial=0) >= 0 and index.max(initial=0) < size:
            return index, None
        inside = (index >= 0) & (index < size)
        wrong = ~inside & ((values < limit.minimum) | (values > limit.maximum))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"Readout {headers['scan_counter'][row]} has {counter} {values[row]}, but the MRD "
                f"header encodes {limit.minimum} to {limit.maximum} (encodingLimits of encoding "
                f"space {self.number})."
            )
        return index, inside

    # Description

    def sampling(self, first: np.ndarray) -> Sampling:
        """Matrices, fields of view and sampled range.

        Args:
            first: header of the first readout.

        Raises:
            HeaderError: the encoding limits contradict the encoded matrix.
        """
        encoded, recon = self._encoding.encodedSpace, self._encoding.reconSpace
        encoded_fov, encoded_matrix = _xyz(encoded.fieldOfView_mm), _xyz(encoded.matrixSize)
        recon_fov, recon_matrix = _xyz(recon.fieldOfView_mm), _xyz(recon.matrixSize)
        if self.cartesian and not self._is_epi:
            # Readout oversampling is assumed to have been removed.
            encoded_fov = (recon_fov[0], *encoded_fov[1:])
            encoded_matrix = (recon_matrix[0], *encoded_matrix[1:])
        if self.cartesian:
            samples = int(first["number_of_samples"])
            readout = SamplingLimit(
                int(first["discard_pre"]),
                samples // 2,
                samples - int(first["discard_post"]) - 1,
            )
        else:
            readout = SamplingLimit(0, self._matrix.x // 2, self._matrix.x - 1)
        lines = [self._sampled_lines(line) for line in (0, 1)]
        return Sampling(
            encoded_fov, recon_fov, encoded_matrix, recon_matrix, (readout, lines[0], lines[1])
        )

    def _sampled_lines(self, line: int) -> SamplingLimit:
        limit = self._limits[line]
        moved = self.cartesian and not self._own_lines
        if not moved or (self._is_epi and self._for_reference):
            return limit
        shift, size = self._shift(line), getattr(self._matrix, _AXIS[line + 1])
        result = SamplingLimit(limit.minimum + shift, size // 2, limit.maximum + shift)
        ordered = 0 <= result.minimum <= result.center <= result.maximum
        if not (ordered and result.minimum < size):
            raise HeaderError(
                f"{_LINES[line][1]} of encoding space {self.number} runs from {limit.minimum} to "
                f"{limit.maximum} with centre {limit.center}; that does not cover the centre of "
                f"the {size} encoded lines (encodingLimits and encodedSpace)."
            )
        return result


def _encodes_several(limits: Any, name: str) -> bool:
    limit = getattr(limits, name)
    return limit is not None and limit.maximum > limit.minimum


def _span(values: np.ndarray) -> int:
    return int(values.max()) - int(values.min()) + 1


def _xyz(value: Any) -> tuple[Any, Any, Any]:
    return (value.x, value.y, value.z)
