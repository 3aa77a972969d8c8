from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from elastron.gadgets.acquisition_accumulate_trigger import (
    AcquisitionAccumulateTriggerGadget,
    AcquisitionAccumulateTriggerProperties,
)
from elastron.mrd.acquisition import AcquisitionFlag
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire.messages import Text

from .scan_parts import batch, context, header, make, run


def numbered(n, **fields):
    """A batch whose samples tell the scan counter."""
    data = np.zeros((n, 1, 4))
    data += np.arange(n)[:, None, None]
    return batch(data, **fields)


def counters(batches):
    return [c for b in batches for c in b.headers["scan_counter"].tolist()]


def samples(batches):
    return [int(v) for b in batches for v in b.data[:, 0, 0].real]


def waveform(n=0):
    header = np.zeros((), WAVEFORM_HEADER)
    header["scan_counter"] = n
    return Waveform(header, np.zeros((1, 4), np.uint32))


def trigger(items, **properties):
    return run(AcquisitionAccumulateTriggerGadget, items, properties=properties)


def test_triggers_before_a_changed_value_and_at_the_end():
    item = numbered(7, repetition=[0, 0, 1, 1, 1, 0, 2])
    buckets = trigger([item], trigger_dimension="repetition")
    assert [counters(b.data) for b in buckets] == [[0, 1], [2, 3, 4], [5], [6]]
    assert [samples(b.data) for b in buckets] == [[0, 1], [2, 3, 4], [5], [6]]


def test_buckets_come_as_soon_as_the_value_changes():
    gadget = make(AcquisitionAccumulateTriggerGadget, properties={"trigger_dimension": "slice"})
    assert list(gadget.process(numbered(3, slice=0))) == []
    assert list(gadget.process(numbered(3, slice=0))) == []
    (bucket,) = gadget.process(numbered(2, slice=1))
    assert counters(bucket.data) == [0, 1, 2, 0, 1, 2]
    (last,) = gadget.finish()
    assert counters(last.data) == [0, 1]


@pytest.mark.parametrize("name", ["", "none", "NONE"])
def test_without_a_trigger_all_comes_at_the_end(name):
    gadget = make(AcquisitionAccumulateTriggerGadget, properties={"trigger_dimension": name})
    assert list(gadget.process(numbered(4, repetition=[0, 1, 2, 3]))) == []
    (bucket,) = gadget.finish()
    assert counters(bucket.data) == [0, 1, 2, 3]


def test_sorting_makes_a_bucket_for_each_value_in_order():
    item = numbered(6, repetition=[0, 0, 0, 0, 1, 1], slice=[2, 0, 2, 1, 0, 2])
    buckets = trigger([item], trigger_dimension="repetition", sorting_dimension="Slice")
    assert [counters(b.data) for b in buckets] == [[1], [3], [0, 2], [4], [5]]


def test_counts_trigger_after_the_readout():
    buckets = trigger(
        [numbered(5), numbered(6)],
        trigger_dimension="n_acquisitions",
        n_acquisitions_before_trigger="4",
        n_acquisitions_before_ongoing_trigger="3",
    )
    assert [counters(b.data) for b in buckets] == [[0, 1, 2, 3], [4, 0, 1], [2, 3, 4], [5]]


def test_flags_decide_between_data_and_reference():
    item = numbered(6)
    for row, flag in ((1, 19), (2, 20), (3, 21), (4, 24)):
        item.headers["flags"][row] |= AcquisitionFlag(flag).mask
    (bucket,) = trigger([item])
    assert counters(bucket.data) == [0, 3, 5]
    assert counters(bucket.reference) == [2, 3]


def test_a_phase_correction_line_that_calibrates_is_reference_only():
    item = numbered(1, flags=(20, 24))
    (bucket,) = trigger([item])
    assert bucket.data == []
    assert counters(bucket.reference) == [0]


def test_noise_does_not_trigger():
    item = numbered(4, repetition=[0, 5, 0, 0])
    item.headers["flags"][1] |= AcquisitionFlag.IS_NOISE_MEASUREMENT.mask
    (bucket,) = trigger([item], trigger_dimension="repetition")
    assert counters(bucket.data) == [0, 2, 3]


def test_waveforms_go_with_the_first_bucket_of_their_trigger():
    items = [
        waveform(0),
        numbered(2, slice=[1, 0]),
        waveform(1),
        numbered(2, repetition=1),
        waveform(2),
    ]
    first, second, third = trigger(items, trigger_dimension="repetition", sorting_dimension="slice")
    assert [int(w.header["scan_counter"]) for w in first.waveforms] == [0, 1]
    assert second.waveforms == []
    assert [int(w.header["scan_counter"]) for w in third.waveforms] == [2]


def test_nothing_comes_of_nothing():
    assert trigger([]) == []
    assert trigger([waveform()]) == []
    assert trigger([numbered(3, flags=(19,))]) == []


def test_other_items_pass_at_once():
    text = Text("hello")
    assert trigger([numbered(2), text])[0] is text


def test_statistics_name_the_values_of_each_encoding_space():
    item = numbered(4, kspace_encode_step_1=[3, 1, 3, 9], encoding_space_ref=[0, 0, 0, 2])
    item.headers["flags"][1] |= AcquisitionFlag.IS_PARALLEL_CALIBRATION.mask
    (bucket,) = trigger([item])
    assert [s.seen["kspace_encode_step_1"] for s in bucket.data_statistics] == [{3}, set(), {9}]
    assert [s.seen["kspace_encode_step_1"] for s in bucket.reference_statistics] == [{1}]
    assert bucket.data_statistics[0].seen["repetition"] == {0}


def test_unbroken_batches_are_not_copied():
    item = numbered(6, repetition=[0, 0, 0, 1, 1, 1])
    buckets = trigger([item], trigger_dimension="repetition", sorting_dimension="slice")
    assert all(np.shares_memory(b.data[0].data, item.data) for b in buckets)


def test_an_unknown_dimension_is_refused():
    with pytest.raises(ValidationError, match="trigger_dimension"):
        trigger([], trigger_dimension="sideways")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30), st.data())
@settings(deadline=None, max_examples=60)
def test_how_readouts_are_batched_does_not_matter(values, data):
    item = numbered(len(values), repetition=[v[0] for v in values], slice=[v[1] for v in values])
    cuts = sorted(data.draw(st.sets(st.integers(0, len(values)))) | {0, len(values)})
    parts = [item.select(slice(a, b)) for a, b in pairwise(cuts)]
    properties = {"trigger_dimension": "repetition", "sorting_dimension": "slice"}
    whole = [counters(b.data) for b in trigger([item], **properties)]
    assert [counters(b.data) for b in trigger(parts, **properties)] == whole
    # Every readout once, and in each trigger's buckets one slice only.
    assert sorted(chain(*whole)) == list(range(len(values)))
    for bucket in trigger([item], **properties):
        assert len(bucket.data_statistics[0].seen["slice"]) == 1


REPETITIONS = [0, 0, 0, 1, 1, 1, 2, 2, 2]


def released(flag, ends=(2, 5, 8), mrd_header=None, **fields):
    """Repetitions of the buckets, with `flag` on the readouts that end one."""
    item = numbered(9, **{"repetition": REPETITIONS, **fields})
    item.headers["flags"][list(ends)] |= flag.mask
    parts = [item.select(slice(0, 4)), item.select(slice(4, None))]
    gadget = AcquisitionAccumulateTriggerGadget(
        AcquisitionAccumulateTriggerProperties(release_repetitions=True),
        context(mrd_header or header()),
    )
    return [sorted(bucket.data_statistics[0].seen["repetition"]) for bucket in gadget(parts)]


@pytest.mark.parametrize(
    "flag", [AcquisitionFlag.LAST_IN_REPETITION, AcquisitionFlag.LAST_IN_SLICE]
)
def test_complete_repetitions_are_released(flag):
    assert released(flag) == [[0], [1], [2]]


def test_repetitions_that_may_go_on_are_kept_to_the_end():
    last_in_slice = AcquisitionFlag.LAST_IN_SLICE
    # Nothing says that a repetition is over.
    assert released(AcquisitionFlag.FIRST_IN_SLICE) == [[0, 1, 2]]
    # Repetitions take turns.
    assert released(last_in_slice, (6, 7, 8), repetition=[0, 1, 2] * 3) == [[0, 1, 2]]
    # Other slices, averages or contrasts of a repetition may follow.
    for name in ("slice", "average", "contrast", "phase", "set"):
        several = header(limits={name: (0, 1, 0)})
        assert released(last_in_slice, mrd_header=several) == [[0, 1, 2]], name
    slices = header(limits={"slice": (0, 1, 0)})
    assert released(AcquisitionFlag.LAST_IN_REPETITION, mrd_header=slices) == [[0], [1], [2]]
