"""Readouts that are sorted into buffers as they come, and the copying of their samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from elastron.errors import DataError, ElastronError
from elastron.gadgets.encoded_space import EncodedSpace
from elastron.gadgets.readout_cuts import check_finite, check_fit, cuts_of, whole
from elastron.mrd.acquisition import (
    ACQUISITION_HEADER,
    AcquisitionBatch,
    ReadoutDomain,
    agreed_fields,
    raw_headers,
)
from elastron.mrd.buffers import DataBuffered, Sampling
from elastron.recon.fft import fft
from elastron.recon.lazy_zeros import lazy_zeros

#: Counters that tell one reconstruction from another, in order of output.
KEY_COUNTERS = ("average", "slice", "contrast", "phase", "repetition", "set", "segment")

#: Fields that tell which buffer a readout belongs to, and those that tell whether it fills a line.
_KEY_FIELDS = frozenset({*KEY_COUNTERS, "encoding_space_ref"})
_FORM_FIELDS = (
    "number_of_samples",
    "active_channels",
    "discard_pre",
    "discard_post",
    "center_sample",
    "trajectory_dimensions",
)

#: Values of `KEY_COUNTERS`; 0 for those that do not separate.
Key = tuple[int, ...]

#: Makes the space of readouts (all headers of an encoding space, its number), and tells the size of
#: the buffer for some of them (their headers): LOC, S, N, CHA, E2, E1, E0.
MakeSpace = Callable[[np.ndarray, int], EncodedSpace]
Measure = Callable[[np.ndarray, EncodedSpace], tuple[int, ...]]


@dataclass(slots=True, eq=False)
class _Draft:
    """Samples that are filed as they come, before all readouts are known.

    Attributes:
        space: made for the first readouts.
        sampling: of the buffer.
        data: of the buffer; arbitrary where nothing is filed, if not `Pile`'s `sparse`.
        domain: of the readouts.
        filed: batch -> loc, s, n, e2, e1 of its readouts, which fill their lines.
        open: no readout has been put off that one of those to come could overtake.
        forms: values of `_FORM_FIELDS` -> whether such readouts fill their lines.
    """

    space: EncodedSpace
    sampling: Sampling
    data: np.ndarray
    domain: ReadoutDomain
    filed: dict[int, tuple[np.ndarray, ...]] = field(default_factory=dict)
    open: bool = True
    forms: dict[tuple[int, ...], bool] = field(default_factory=dict)

    @property
    def lines_shape(self) -> tuple[int, ...]:
        """LOC, S, N, E2, E1."""
        return (*self.data.shape[:3], *self.data.shape[4:6])

    def filled_by(self, headers: np.ndarray, agreed: frozenset[str]) -> bool:
        """Whether readouts of these headers fill their lines."""
        if not agreed.issuperset(_FORM_FIELDS):
            return self._filled(headers)
        form = tuple([int(headers[0][name]) for name in _FORM_FIELDS])
        if form not in self.forms:
            self.forms[form] = self._filled(headers[:1])
        return self.forms[form]

    def _filled(self, headers: np.ndarray) -> bool:
        channels, length = self.data.shape[3], self.data.shape[6]
        return bool(
            (headers["active_channels"] == channels).all()
            and not headers["trajectory_dimensions"].any()
            and whole(cuts_of(headers, length, self.sampling, self.space), length).all()
        )


class Pile:
    """The readouts of one role in a bucket, handed out buffer by buffer.

    Most are copied to their place as they come: those of a batch that belongs to one buffer, whose
    size does not depend on what else will come, and whose lines they fill. The batch is let go
    then. The others wait until all have come, and are let go when their last readout has been
    copied. What comes out is the same either way.

    Args:
        cleared: of `KEY_COUNTERS`, those that do not separate.
        make_space: describes an encoding space.
        measure: tells the size of a buffer.
        sparse: most lines will hold nothing, and are to take no memory.
        log: for warnings.
        threads: for transforms.
    """

    def __init__(
        self,
        *,
        cleared: frozenset[str],
        make_space: MakeSpace,
        measure: Measure,
        sparse: bool,
        log: Any,
        threads: int,
    ) -> None:
        self._cleared = cleared
        self._make_space = make_space
        self._measure = measure
        self._sparse = sparse
        self._log = log
        self._threads = threads
        self._parts: list[np.ndarray] = []
        self._batches: dict[int, AcquisitionBatch] = {}
        self._drafts: dict[tuple[Key, int], _Draft | None] = {}
        self._spaces: dict[int, EncodedSpace] = {}
        self._rows: dict[Key, dict[int, np.ndarray]] = {}

    # As they come

    def add(self, batch: AcquisitionBatch) -> None:
        """Take readouts."""
        number = len(self._parts)
        # Not a view, which would keep what the batch lies in.
        self._parts.append(raw_headers(batch.headers).copy())
        if not (len(batch) and self._file(number, batch)):
            self._batches[number] = batch

    def _file(self, number: int, batch: AcquisitionBatch) -> bool:
        """Copy a batch to its place, if that is certain; whether it was."""
        headers = self._parts[number].view(ACQUISITION_HEADER)
        agreed = agreed_fields(headers)
        found = [(key, space) for key, space, _ in _keys(headers, self._cleared, agreed)]
        if len(found) == 1:
            if found[0] not in self._drafts:
                self._drafts[found[0]] = self._begin(batch, found[0][1])
            draft = self._drafts[found[0]]
            place = None if draft is None else self._place(draft, batch, headers, agreed)
            if draft is not None and place is not None:
                loc, s, n, e2, e1 = draft.filed[number] = place
                draft.data[loc, s, n, :, e2, e1] = batch.data
                return True
        for each in found:
            draft = self._drafts.setdefault(each, None)
            if draft is not None:
                draft.open = False
        return False

    def _begin(self, batch: AcquisitionBatch, number: int) -> _Draft | None:
        try:
            space = self._make_space(batch.headers, number)
            if not space.settled or batch.trajectory is not None:
                return None
            shape = self._measure(batch.headers, space)
            sampling = space.sampling(batch.headers[0])
        except ElastronError:
            return None  # it is raised when all have come
        return _Draft(space, sampling, self._memory(shape), batch.readout_domain)

    def _place(
        self, draft: _Draft, batch: AcquisitionBatch, headers: np.ndarray, agreed: frozenset[str]
    ) -> tuple[np.ndarray, ...] | None:
        """Where the readouts stand; None unless they fill lines of the draft."""
        if (
            not draft.open
            or batch.readout_domain is not draft.domain
            or batch.data.shape[1:] != (draft.data.shape[3], draft.data.shape[6])
            or not draft.filled_by(headers, agreed)
        ):
            return None
        try:
            check_finite(batch)
            positions = draft.space.place(headers, None)
            np.ravel_multi_index(positions.index, draft.lines_shape)  # they stand inside
        except (DataError, ValueError):
            return None
        return positions.index if len(positions.rows) == len(batch) else None

    def _memory(self, shape: tuple[int, ...]) -> np.ndarray:
        """A buffer's samples: zeros if the pile is sparse, else arbitrary."""
        if not self._sparse:
            return np.empty(shape, np.complex64)
        locations, sets, repeats, channels, e2, e1, samples = shape
        # With its channels together, a line without samples shares no page with another.
        lines = lazy_zeros((locations, sets, repeats, e2, e1, channels, samples))
        return np.moveaxis(lines, 5, 3)

    # When all have come

    def close(self) -> None:
        """Say that all have come.

        Raises:
            DataError: samples that are not finite.
        """
        for batch in self._batches.values():
            check_finite(batch)
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self._missing = np.diff(self._starts)
        if self._starts[-1]:
            self._headers = np.concatenate(self._parts).view(ACQUISITION_HEADER)
            agreed = agreed_fields(self._headers)
            for key, number, rows in _keys(self._headers, self._cleared, agreed):
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
        shape = self._measure(headers, space)
        sampling = space.sampling(headers[0])
        cuts = cuts_of(headers, shape[-1], sampling, space)
        fill = whole(cuts, shape[-1])

        bounds = np.searchsorted(rows, self._starts)
        used = np.flatnonzero(np.diff(bounds)).tolist()
        places = {}
        for i in used:
            low, high = np.searchsorted(positions.rows, bounds[i : i + 2]).tolist()
            index = tuple(axis[low:high] for axis in positions.index)
            places[i] = (positions.rows[low:high], index)

        draft = self._drafts.pop((key, number), None)
        domains = {self._batches[i].readout_domain for i in used if i in self._batches}
        domains |= {draft.domain} if draft is not None and draft.filed else set()
        in_image_space = domains == {ReadoutDomain.IMAGE} and fill.all()
        domain = ReadoutDomain.IMAGE if in_image_space else ReadoutDomain.KSPACE
        if draft is not None and not _fits(draft, shape, domain, places):
            self._put_back(draft)
            draft = None
        buffer = DataBuffered(
            data=self._memory(shape) if draft is None else draft.data,
            headers=np.zeros(space.lines_shape, ACQUISITION_HEADER),
            sampling=sampling,
            trajectory=_trajectory(headers[0], shape),
            readout_domain=domain,
        )
        if not self._sparse:
            filled = fill[positions.rows]
            _clear_others(buffer.data, tuple(axis[filled] for axis in positions.index))
        for i, (mine, place) in places.items():
            raw_headers(buffer.headers)[place] = raw_headers(headers)[mine]
            if i in self._batches:
                if len(mine):
                    own = rows[mine] - self._starts[i]
                    self._copy(self._batches[i], own, place, cuts[mine], buffer)
                self._missing[i] -= bounds[i + 1] - bounds[i]
                if not self._missing[i]:
                    del self._batches[i]
        return buffer

    def _put_back(self, draft: _Draft) -> None:
        """Make batches again of what was filed."""
        for number, (loc, s, n, e2, e1) in draft.filed.items():
            headers = self._parts[number].view(ACQUISITION_HEADER)
            data = draft.data[loc, s, n, :, e2, e1]
            self._batches[number] = AcquisitionBatch(headers, data, None, draft.domain)

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
            cuts: of each, see `cuts_of`.
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
            check_fit(batch.headers[rows[chosen[0]]], buffer, count, offset)
            line, taken = slice(offset, offset + count), slice(first, first + count)
            buffer.data[loc, s, n, :, e2, e1, line] = data[..., taken]
            if buffer.trajectory is not None and batch.trajectory is not None:
                moved = batch.trajectory[source][:, taken]
                buffer.trajectory[loc, s, n, e2, e1, line] = moved


def _keys(
    headers: np.ndarray, cleared: frozenset[str], agreed: frozenset[str]
) -> Iterable[tuple[Key, int, np.ndarray]]:
    """Key, encoding space, and ascending readouts of each buffer.

    Args:
        headers: of the readouts, at least one.
        cleared: of `KEY_COUNTERS`, those that do not separate.
        agreed: fields in which all headers agree.
    """
    if agreed.issuperset(_KEY_FIELDS - cleared):
        first = headers[0]
        idx = first["idx"]
        key = tuple([0 if name in cleared else int(idx[name]) for name in KEY_COUNTERS])
        return [(key, int(first["encoding_space_ref"]), np.arange(len(headers)))]
    table = np.zeros((len(headers), len(KEY_COUNTERS) + 1), dtype=np.uint16)
    for column, name in enumerate(KEY_COUNTERS):
        if name not in cleared:
            table[:, column] = headers["idx"][name]
    table[:, -1] = headers["encoding_space_ref"]
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


def _fits(
    draft: _Draft,
    shape: tuple[int, ...],
    domain: ReadoutDomain,
    places: dict[int, tuple[np.ndarray, tuple[np.ndarray, ...]]],
) -> bool:
    """Whether samples lie in a draft as they are to lie in the buffer."""
    return (
        draft.data.shape == shape
        and draft.domain is domain
        and all(
            all(map(np.array_equal, place, places[number][1]))
            for number, place in draft.filed.items()
        )
    )


def _trajectory(first: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    locations, sets, repeats, _, e2, e1, samples = shape
    dimensions = int(first["trajectory_dimensions"])
    if not dimensions:
        return None
    return np.zeros((locations, sets, repeats, e2, e1, samples, dimensions), np.float32)


def _clear_others(data: np.ndarray, filled: tuple[np.ndarray, ...]) -> None:
    """Set all lines to 0 but those at loc, s, n, e2, e1."""
    empty = np.ones((*data.shape[:3], *data.shape[4:6]), dtype=bool)
    empty[filled] = False
    if empty.all():
        data[...] = 0
    elif empty.any():
        loc, s, n, e2, e1 = np.nonzero(empty)
        data[loc, s, n, :, e2, e1] = 0


def _run(rows: np.ndarray) -> np.ndarray | slice:
    """Ascending rows as a slice if they are a run: a view then, no copy."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    return slice(first, last) if last - first == len(rows) else rows
