"""Collect readouts into buckets until a counter changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import numpy as np
from ismrmrd.xsd import encodingLimitsType, ismrmrdHeader
from pydantic import BeforeValidator, Field

from elastron.gadgets.base import Context, Gadget, Hybrid, Item, Properties
from elastron.mrd.acquisition import AcquisitionBatch, AcquisitionFlag, joined_headers
from elastron.mrd.buffers import STATISTICS_COUNTERS, Bucket, BucketStatistics
from elastron.mrd.counters import EncodingCounter
from elastron.mrd.waveform import Waveform

_Dimension = Literal[EncodingCounter, "n_acquisitions", "none"]


def _named(value: object) -> object:
    """Any case; empty means none."""
    return (value.lower() or "none") if isinstance(value, str) else value


Dimension = Annotated[_Dimension, BeforeValidator(_named)]


class AcquisitionAccumulateTriggerProperties(Properties):
    """Properties of `AcquisitionAccumulateTriggerGadget`.

    Attributes:
        trigger_dimension: buckets are sent before the first readout in which this counter has
            changed; `n_acquisitions`: after so many readouts; `none`: at the end only.
        sorting_dimension: one bucket for each value of this counter.
        n_acquisitions_before_trigger: readouts before the first trigger.
        n_acquisitions_before_ongoing_trigger: readouts before each later trigger.
        release_repetitions: with `trigger_dimension` none: do not keep a repetition that is
            complete until the end. Buckets are sent before the first readout of another
            repetition if they hold one only, whose last readout was flagged to end it (with a
            single slice, to end the slice), and if the header encodes no averages, contrasts,
            phases or sets, which could belong to it and come later. For chains whose N and S are
            not the repetition.
    """

    trigger_dimension: Dimension = "none"
    sorting_dimension: Dimension = "none"
    n_acquisitions_before_trigger: int = Field(40, ge=0)
    n_acquisitions_before_ongoing_trigger: int = Field(40, ge=0)
    release_repetitions: bool = False


class AcquisitionAccumulateTriggerGadget(Gadget[AcquisitionAccumulateTriggerProperties]):
    """Sends buckets of readouts at each trigger and at the end, in order of the sorting counter.

    Noise readouts are dropped. Calibration readouts (flag 20) go to the bucket's reference, those
    that are image data as well (flag 21) to both, phase correction readouts not to the data.
    Waveforms go with the first bucket of the trigger they precede. Where the next gadget takes them
    so, buckets are handed on while they grow.
    """

    properties_type = AcquisitionAccumulateTriggerProperties
    hybrid = Hybrid.PASSES
    accepts = (AcquisitionBatch, Waveform)

    def __init__(
        self, properties: AcquisitionAccumulateTriggerProperties, context: Context
    ) -> None:
        super().__init__(properties, context)
        self._buckets: dict[int, Bucket] = {}
        self._waveforms: list[Waveform] = []
        self._previous: int | None = None
        self._missing = max(1, properties.n_acquisitions_before_trigger)
        self._n_triggers = 0
        self._ending = _ending_flags(context.header) if properties.release_repetitions else ()
        self._repetitions: set[int] = set()
        self._ended = False

    def process(self, item: AcquisitionBatch | Waveform) -> Iterable[Item]:
        """Accumulate; send what is complete."""
        if isinstance(item, Waveform):
            self._waveforms.append(item)
            return
        imaging = _without(item, AcquisitionFlag.IS_NOISE_MEASUREMENT)
        if imaging is None:
            return
        trigger = self.properties.trigger_dimension
        if trigger == "n_acquisitions":
            yield from self._by_count(imaging)
        elif trigger == "none" and self._ending:
            yield from self._by_repetition(imaging)
        elif trigger == "none":
            self._sort(imaging)
        else:
            yield from self._by_change(imaging, trigger)
        if self.context.growing_output:
            yield from [each for each in self._buckets.values() if each.data or each.reference]

    def finish(self) -> Iterable[Item]:
        """Send what is left."""
        return self._send()

    def _by_change(self, batch: AcquisitionBatch, trigger: str) -> Iterator[Bucket]:
        for part in batch.runs(batch.counter(trigger)):
            value = int(part.counter(trigger)[0])
            if self._previous is not None and value != self._previous:
                yield from self._send()
            self._previous = value
            self._sort(part)

    def _by_repetition(self, batch: AcquisitionBatch) -> Iterator[Bucket]:
        for part in batch.runs(batch.counter("repetition")):
            value = int(part.counter("repetition")[0])
            if self._ended and value not in self._repetitions:
                yield from self._send()
                self._repetitions.clear()
            self._repetitions.add(value)
            # Where repetitions take turns, the end of one is not the end of all.
            self._ended = len(self._repetitions) == 1 and bool(part.any_flag(*self._ending)[-1])
            self._sort(part)

    def _by_count(self, batch: AcquisitionBatch) -> Iterator[Bucket]:
        start = 0
        while start < len(batch):
            part = batch.select(slice(start, start + self._missing))
            start += len(part)
            self._missing -= len(part)
            self._sort(part)
            if not self._missing:
                self._missing = max(1, self.properties.n_acquisitions_before_ongoing_trigger)
                yield from self._send()

    def _sort(self, batch: AcquisitionBatch) -> None:
        sorting = self.properties.sorting_dimension
        if sorting in {"none", "n_acquisitions"}:
            self._add(0, batch)
            return
        values = batch.counter(sorting)
        if (values == values[0]).all():
            self._add(int(values[0]), batch)
            return
        for value in np.unique(values).tolist():
            self._add(value, _pick(batch, values == value))

    def _add(self, key: int, batch: AcquisitionBatch | None) -> None:
        if batch is None:
            return
        if key not in self._buckets:
            self._buckets[key] = Bucket(growing=self.context.growing_output)
        bucket = self._buckets[key]
        calibration = AcquisitionFlag.IS_PARALLEL_CALIBRATION
        both = AcquisitionFlag.IS_PARALLEL_CALIBRATION_AND_IMAGING
        reference = _with(batch, calibration, both)
        if reference is not None:
            bucket.reference.append(reference)
        data = _without(batch, calibration, AcquisitionFlag.IS_PHASECORR_DATA)
        if data is not None:
            bucket.data.append(data)

    def _send(self) -> Iterator[Bucket]:
        self._n_triggers += 1
        self.context.log.debug(
            "accumulated data triggered",
            trigger=self._n_triggers,
            buckets=len(self._buckets),
            waveforms=len(self._waveforms),
        )
        buckets, self._buckets = self._buckets, {}
        if buckets:
            buckets[min(buckets)].waveforms, self._waveforms = self._waveforms, []
        for key in sorted(buckets):
            bucket = buckets.pop(key)
            if not bucket.growing:
                bucket.data_statistics = statistics(bucket.data)
                bucket.reference_statistics = statistics(bucket.reference)
            bucket.growing = False
            yield bucket


def _ending_flags(header: ismrmrdHeader) -> tuple[AcquisitionFlag, ...]:
    """Flags after which a repetition is complete; none where the header leaves it open."""
    limits = [encoding.encodingLimits for encoding in header.encoding]
    outer = ("average", "contrast", "phase", "set")
    if not limits or any(_encodes_several(limit, name) for limit in limits for name in outer):
        return ()
    if any(_encodes_several(limit, "slice") for limit in limits):
        return (AcquisitionFlag.LAST_IN_REPETITION,)
    return (AcquisitionFlag.LAST_IN_REPETITION, AcquisitionFlag.LAST_IN_SLICE)


def _encodes_several(limits: encodingLimitsType, name: str) -> bool:
    limit = getattr(limits, name)
    return limit is not None and limit.maximum > limit.minimum


def statistics(batches: list[AcquisitionBatch]) -> list[BucketStatistics]:
    """Distinct counter values in each encoding space up to the highest seen."""
    if not batches:
        return []
    headers = joined_headers(batches)
    spaces = headers["encoding_space_ref"]
    found = [BucketStatistics() for _ in range(int(spaces.max()) + 1)]
    for space in np.unique(spaces).tolist():
        here = headers["idx"][spaces == space]
        for name in STATISTICS_COUNTERS:
            found[space].seen[name] = set(np.unique(here[name]).tolist())
    return found


def _with(batch: AcquisitionBatch, *flags: AcquisitionFlag) -> AcquisitionBatch | None:
    """The readouts that have at least one of `flags`."""
    flagged = batch.any_flag(*flags)
    return _pick(batch, flagged) if flagged.any() else None


def _without(batch: AcquisitionBatch, *flags: AcquisitionFlag) -> AcquisitionBatch | None:
    """The readouts that have none of `flags`."""
    flagged = batch.any_flag(*flags)
    return _pick(batch, ~flagged) if flagged.any() or not len(batch) else batch


def _pick(batch: AcquisitionBatch, mask: np.ndarray) -> AcquisitionBatch | None:
    """The rows where `mask` is true: the batch itself, a view or a copy; None if there are none."""
    rows = np.flatnonzero(mask)
    if not len(rows):
        return None
    if len(rows) == len(batch):
        return batch
    first, last = int(rows[0]), int(rows[-1]) + 1
    return batch.select(slice(first, last) if last - first == len(rows) else rows)
