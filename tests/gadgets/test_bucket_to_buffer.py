import dataclasses
import weakref
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.errors import DataError, ElastronError, HeaderError
from elastron.gadgets.acquisition_accumulate_trigger import AcquisitionAccumulateTriggerGadget
from elastron.gadgets.bucket_to_buffer import BucketToBufferGadget
from elastron.gadgets.readout_pile import Pile
from elastron.mrd.acquisition import AcquisitionFlag, ReadoutDomain
from elastron.mrd.buffers import Bucket, SamplingLimit
from elastron.recon.fft import ifft

from .scan_parts import batch, header, make, noise, run

SCAN = header((8, 8, 1), oversampling=1)


def sort(items, mrd_header=SCAN, *, parameters=None, **properties):
    """Accumulated without trigger, then sorted."""
    buckets = run(AcquisitionAccumulateTriggerGadget, items)
    return run(
        BucketToBufferGadget,
        buckets,
        mrd_header,
        properties=properties,
        parameters=parameters or {},
    )


def lines(n, *, channels=2, samples=8, seed=0, **fields):
    fields.setdefault("kspace_encode_step_1", np.arange(n))
    return batch(noise(n, channels, samples, seed=seed), **fields)


def test_lines_are_filed_under_their_counters():
    item = lines(8, kspace_encode_step_1=[3, 1, 2, 0, 7, 6, 5, 4])
    (recon,) = sort([item])
    buffer = recon.bits[0].data
    assert buffer.data.shape == (1, 1, 1, 2, 1, 8, 8)
    assert buffer.data.dtype == np.complex64
    for row, line in enumerate([3, 1, 2, 0, 7, 6, 5, 4]):
        np.testing.assert_array_equal(buffer.data[0, 0, 0, :, 0, line], item.data[row])
        assert buffer.headers[0, 0, 0, 0, line]["scan_counter"] == row
    assert recon.bits[0].reference is None


def test_unsampled_lines_are_zero_with_zero_headers():
    (recon,) = sort([lines(2, kspace_encode_step_1=[1, 5])])
    buffer = recon.bits[0].data
    sampled = np.abs(buffer.data).sum(axis=(0, 1, 2, 3, 4, 6)) > 0
    assert np.flatnonzero(sampled).tolist() == [1, 5]
    assert (buffer.headers.ravel()[[0, 2, 3]] == np.zeros(1, buffer.headers.dtype)).all()


def test_the_last_of_repeated_lines_stays():
    item = lines(3, kspace_encode_step_1=2)
    (recon,) = sort([item.select(slice(0, 2)), item.select(slice(2, 3))])
    np.testing.assert_array_equal(recon.bits[0].data.data[0, 0, 0, :, 0, 2], item.data[2])


def test_other_counters_make_data_of_their_own_in_order():
    item = lines(4, kspace_encode_step_1=0, average=[1, 0, 0, 0], repetition=[0, 2, 1, 1])
    recons = sort([item])
    headers = [recon.bits[0].data.headers["idx"][0, 0, 0, 0, 0] for recon in recons]
    keys = [(int(h["average"]), int(h["repetition"])) for h in headers]
    assert keys == [(0, 1), (0, 2), (1, 0)]


def test_n_and_s_become_axes_counted_from_the_lowest():
    item = lines(4, kspace_encode_step_1=0, contrast=[2, 3, 2, 3], set=[5, 5, 6, 6])
    (recon,) = sort([item], N_dimension="contrast", S_dimension="Set")
    data = recon.bits[0].data.data
    assert data.shape[:3] == (1, 2, 2)
    for row, (s, n) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        np.testing.assert_array_equal(data[0, s, n, :, 0, 0], item.data[row])


def test_slices_split_or_become_locations():
    item = lines(4, kspace_encode_step_1=0, slice=[1, 2, 3, 3])
    scan = header((8, 8, 1), oversampling=1, limits={"slice": (0, 3, 0)})
    assert len(sort([item], scan, split_slices="true")) == 3
    (recon,) = sort([item], scan)
    assert recon.bits[0].data.data.shape[0] == 3
    np.testing.assert_array_equal(recon.bits[0].data.data[1, 0, 0, :, 0, 0], item.data[1])


def test_segments_separate_unless_ignored():
    item = lines(4, segment=[0, 1, 0, 1])
    assert len(sort([item])) == 2
    assert len(sort([item], ignore_segment=True)) == 1


def test_partial_fourier_lines_are_moved_to_the_centre_of_the_matrix():
    # 6 of 8 lines, the centre of k-space is line 2.
    limits = {"kspace_encoding_step_1": (0, 5, 2)}
    for calibration in (None, "embedded"):
        scan = header((8, 8, 1), oversampling=1, limits=limits, calibration=calibration)
        item = lines(6)
        (recon,) = sort([item], scan)
        buffer = recon.bits[0].data
        assert buffer.data.shape[5] == 8
        np.testing.assert_array_equal(buffer.data[0, 0, 0, :, 0, 4], item.data[2])
        np.testing.assert_array_equal(buffer.data[0, 0, 0, :, 0, 7], item.data[5])
        assert buffer.sampling.limits[1] == SamplingLimit(2, 4, 7)


def test_without_parallel_imaging_lines_span_the_limits():
    scan = header((8, 8, 1), oversampling=1, limits={"kspace_encoding_step_1": (0, 5, 4)})
    (recon,) = sort([lines(6)], scan)
    assert recon.bits[0].data.data.shape[5] == 6


def test_three_dimensions():
    scan = header((8, 4, 4), oversampling=1, limits={"kspace_encoding_step_2": (0, 2, 1)})
    item = lines(2, kspace_encode_step_1=[1, 2], kspace_encode_step_2=[0, 2])
    (recon,) = sort([item], scan)
    buffer = recon.bits[0].data
    assert buffer.data.shape == (1, 1, 1, 2, 4, 4, 8)
    np.testing.assert_array_equal(buffer.data[0, 0, 0, :, 1, 1], item.data[0])
    np.testing.assert_array_equal(buffer.data[0, 0, 0, :, 3, 2], item.data[1])
    assert buffer.sampling.limits[2] == SamplingLimit(1, 2, 3)


def test_sampling_describes_the_matrices():
    scan = header((16, 8, 1), (8, 6, 1), oversampling=2)
    (recon,) = sort([lines(8)], scan)
    sampling = recon.bits[0].data.sampling
    assert sampling.encoded_matrix == (8, 8, 1)  # oversampling counts as removed
    assert sampling.recon_matrix == (8, 6, 1)
    assert sampling.encoded_fov[0] == sampling.recon_fov[0] == 16
    assert sampling.limits == (
        SamplingLimit(0, 4, 7),
        SamplingLimit(0, 4, 7),
        SamplingLimit(0, 0, 0),
    )


@pytest.mark.parametrize("mode", ["embedded", "interleaved"])
def test_embedded_calibration_has_the_size_of_the_data(mode):
    limits = {"kspace_encoding_step_1": (0, 6, 3)}
    scan = header((8, 8, 1), oversampling=1, calibration=mode, limits=limits)
    item = lines(4, kspace_encode_step_1=[0, 2, 3, 4])
    item.headers["flags"][1:] |= AcquisitionFlag.IS_PARALLEL_CALIBRATION_AND_IMAGING.mask
    item.headers["flags"][2] = AcquisitionFlag.IS_PARALLEL_CALIBRATION.mask
    (recon,) = sort([item], scan)
    data, reference = recon.bits[0].data, recon.bits[0].reference
    assert reference.data.shape == data.data.shape
    present = reference.headers["number_of_samples"].ravel() > 0
    assert np.flatnonzero(present).tolist() == [3, 4, 5]
    present = data.headers["number_of_samples"].ravel() > 0
    assert np.flatnonzero(present).tolist() == [1, 3, 5]


@pytest.mark.parametrize("mode", ["separate", "external"])
def test_separate_calibration_has_its_own_lines(mode):
    scan = header((8, 8, 1), oversampling=1, calibration=mode)
    calibration = lines(3, kspace_encode_step_1=[5, 3, 4], flags=(20,))
    (recon,) = sort([calibration, lines(8)], scan)
    reference = recon.bits[0].reference
    assert reference.data.shape == (1, 1, 1, 2, 1, 3, 8)
    np.testing.assert_array_equal(reference.data[0, 0, 0, :, 0, 0], calibration.data[1])
    assert reference.sampling.limits[1] == SamplingLimit(0, 4, 7)


def test_discarded_samples_are_left_out():
    item = lines(1, samples=8, discard_pre=2, discard_post=1)
    scan = header((8, 8, 1), oversampling=1, calibration="embedded")
    (recon,) = sort([item], scan)
    line = recon.bits[0].data.data[0, 0, 0, :, 0, 0]
    np.testing.assert_array_equal(line[:, 2:7], item.data[0, :, 2:7])
    assert not line[:, :2].any()
    assert not line[:, 7:].any()
    assert recon.bits[0].data.sampling.limits[0] == SamplingLimit(2, 4, 6)


def test_differently_cut_readouts_in_one_batch():
    scan = header((8, 8, 1), oversampling=1, calibration="embedded")
    item = lines(3, discard_pre=[0, 3, 0], discard_post=[0, 0, 2])
    (recon,) = sort([item], scan)
    data = recon.bits[0].data.data[0, 0, 0, :, 0]
    np.testing.assert_array_equal(data[:, 0], item.data[0])
    np.testing.assert_array_equal(data[:, 1, 3:], item.data[1, :, 3:])
    np.testing.assert_array_equal(data[:, 2, :6], item.data[2, :, :6])
    assert not data[:, 1, :3].any()


def test_trajectories_are_filed_too():
    positions = np.random.default_rng(0).random((4, 8, 2), np.float32)
    item = lines(4, trajectory=positions)
    scan = header((8, 8, 1), oversampling=1, trajectory="spiral")
    (recon,) = sort([item], scan)
    trajectory = recon.bits[0].data.trajectory
    assert trajectory.shape == (1, 1, 1, 1, 8, 8, 2)
    np.testing.assert_array_equal(trajectory[0, 0, 0, 0, :4], positions)


def test_encoding_spaces_become_bits():
    scan = header((8, 8, 1), oversampling=1)
    scan.encoding.append(header((4, 4, 1), oversampling=1).encoding[0])
    (recon,) = sort([lines(4, samples=4, encoding_space_ref=1)], scan)
    assert [bit.data.data.shape for bit in recon.bits] == [(0,) * 7, (1, 1, 1, 2, 1, 4, 4)]


def test_image_space_readouts_stay_so_when_they_are_whole():
    item = lines(8)
    hybrid = dataclasses.replace(item, data=ifft(item.data, -1), readout_domain=ReadoutDomain.IMAGE)
    (recon,) = sort([hybrid])
    assert recon.bits[0].data.readout_domain is ReadoutDomain.IMAGE
    np.testing.assert_array_equal(recon.bits[0].data.data[0, 0, 0, :, 0, 3], hybrid.data[3])


def test_mixed_domains_become_kspace():
    item = lines(8)
    first = item.select(slice(0, 4))
    hybrid = dataclasses.replace(
        first, data=ifft(first.data, -1), readout_domain=ReadoutDomain.IMAGE
    )
    (recon,) = sort([hybrid, item.select(slice(4, 8))])
    buffer = recon.bits[0].data
    assert buffer.readout_domain is ReadoutDomain.KSPACE
    np.testing.assert_allclose(buffer.data[0, 0, 0, :, 0], item.data.transpose(1, 0, 2), atol=1e-5)


def test_batches_are_let_go_as_they_are_sorted():
    bucket = Bucket(data=[lines(4, repetition=0), lines(4, repetition=1)])
    gadget = make(BucketToBufferGadget, SCAN)
    result = iter(gadget.process(bucket))
    next(result)
    assert bucket.data == []


def test_readouts_of_a_growing_bucket_are_let_go_as_they_come():
    gadget = make(BucketToBufferGadget, SCAN)
    parts = [lines(8).select(slice(0, 4)), lines(8).select(slice(4, 8))]
    alive = [weakref.ref(part.data.base) for part in parts]
    bucket = Bucket(growing=True)
    for i in range(2):
        bucket.data.append(parts.pop(0))
        assert list(gadget.process(bucket)) == []
        assert bucket.data == []
        assert alive[i]() is None
    bucket.growing = False
    (recon,) = gadget.process(bucket)
    np.testing.assert_array_equal(
        recon.bits[0].data.data[0, 0, 0, :, 0], lines(8).data.transpose(1, 0, 2)
    )


def _outcome(items, mrd_header, *, growing_output, **properties):
    """What is sorted, or the error."""
    accumulated = make(
        AcquisitionAccumulateTriggerGadget, mrd_header, growing_output=growing_output
    )(items)
    items = make(BucketToBufferGadget, mrd_header, properties=properties)(accumulated)
    try:
        return [
            (role.data, role.headers, role.sampling, role.readout_domain, role.trajectory)
            for recon in items
            for bit in recon.bits
            for role in (bit.data, bit.reference)
            if role is not None
        ]
    except ElastronError as error:
        return str(error)


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_a_bucket_may_come_while_it_grows(data):
    """Whatever the readouts: same buffers, bit for bit, or the same error."""
    n = data.draw(st.integers(1, 12))

    def counters(values):
        return data.draw(st.lists(values, min_size=n, max_size=n))

    rare = st.sampled_from([0] * 12 + [1])
    item = lines(
        n,
        kspace_encode_step_1=counters(st.sampled_from([*range(8), *range(8), 9])),
        contrast=counters(rare),
        repetition=counters(rare),
        slice=counters(rare),
        discard_pre=counters(rare),
        encoding_space_ref=counters(st.sampled_from([0] * 100 + [1])),
    )
    if data.draw(rare):
        item.data[data.draw(st.integers(0, n - 1)), 0, 3] = np.nan
    calibration = data.draw(st.sampled_from([None, "embedded", "separate"]))
    if calibration:
        flagged = np.array(counters(st.sampled_from([0, 1 << 19, 1 << 20])), np.uint64)
        item.headers["flags"] |= flagged
    limits = {"slice": (0, 1, 0)} if data.draw(st.booleans()) else {}
    if data.draw(st.booleans()):
        limits["contrast"] = (0, 1, 0)
    mrd_header = header((8, 8, 1), oversampling=1, calibration=calibration, limits=limits)
    cuts = sorted(data.draw(st.sets(st.integers(1, n), max_size=4)))
    parts = [item.select(slice(*ends)) for ends in pairwise([0, *cuts, n]) if ends[0] < ends[1]]
    hybrid = data.draw(st.sampled_from(["none", "first", "all"]))
    for i, part in enumerate(parts):
        if hybrid == "all" or (hybrid == "first" and i == 0):
            parts[i] = dataclasses.replace(
                part, data=ifft(part.data, -1), readout_domain=ReadoutDomain.IMAGE
            )
    properties = {"N_dimension": "contrast", "split_slices": data.draw(st.booleans())}
    as_it_comes = _outcome(parts, mrd_header, growing_output=True, **properties)
    with mock.patch.object(Pile, "_begin", return_value=None):  # nothing is filed before its turn
        at_once = _outcome(parts, mrd_header, growing_output=False, **properties)
    if isinstance(at_once, str):
        assert as_it_comes == at_once
        return
    assert len(as_it_comes) == len(at_once)
    for one, other in zip(as_it_comes, at_once, strict=True):
        assert one[0].tobytes() == other[0].tobytes()
        assert one[1].tobytes() == other[1].tobytes()
        assert one[2:] == other[2:]


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_batching_and_order_do_not_matter(data):
    n = 24
    step = np.tile(np.arange(8), 3)
    repetition = np.repeat([0, 1, 2], 8)
    item = lines(n, kspace_encode_step_1=step, repetition=repetition)
    expected = sort([item])
    order = data.draw(st.permutations(range(n)))
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1))))
    parts = [item.select(np.array(p)) for p in np.split(np.array(order), cuts)]
    actual = sort(parts)
    assert len(actual) == len(expected) == 3
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a.bits[0].data.data, e.bits[0].data.data)
        np.testing.assert_array_equal(a.bits[0].data.headers, e.bits[0].data.headers)


# What contradicts the header


def test_a_line_outside_the_encoding_limits_is_an_error():
    with pytest.raises(DataError, match=r"kspace_encode_step_1 9, .* 0 to 7"):
        sort([lines(3, kspace_encode_step_1=[0, 9, 1])])
    with pytest.raises(DataError, match=r"kspace_encode_step_2 3, .* 0 to 0"):
        sort([lines(3, kspace_encode_step_2=[0, 3, 1])])


def test_a_line_inside_the_limits_but_outside_the_matrix_is_left_out():
    limits = {"kspace_encoding_step_1": (0, 9, 4)}
    scan = header((8, 8, 1), oversampling=1, calibration="embedded", limits=limits)
    (recon,) = sort([lines(10)], scan)
    assert recon.bits[0].data.headers["scan_counter"].ravel().tolist() == list(range(8))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (lines(2, slice=[0, 1]), "slice runs from 0 to 1"),
        (lines(2, encoding_space_ref=3), "encoding_space_ref 3"),
        (lines(2, samples=9), "number_of_samples 9, but the MRD header encodes 8"),
        (lines(2, discard_pre=5, discard_post=3), "to be discarded"),
        (lines(2, samples=6, center_sample=1), "AsymmetricEchoAdjustROGadget"),
    ],
)
def test_what_contradicts_the_header_is_an_error(item, message):
    with pytest.raises(DataError, match=message):
        sort([item])


def test_readouts_of_different_size_are_an_error():
    with pytest.raises(DataError, match="active_channels 3, but readout 0"):
        sort([lines(1), lines(2, channels=3)])
    with pytest.raises(DataError, match="does not fit its line of 6 samples"):
        sort([lines(1, samples=6), lines(2, samples=8)])


def test_more_channels_than_receivers_are_an_error():
    scan = header((8, 8, 1), oversampling=1, coils=("one",))
    with pytest.raises(DataError, match="active_channels 2, but the MRD header has 1"):
        sort([lines(1)], scan)


def test_limits_that_miss_the_centre_are_an_error():
    limits = {"kspace_encoding_step_1": (0, 2, 7)}
    scan = header((8, 8, 1), oversampling=1, calibration="embedded", limits=limits)
    with pytest.raises(HeaderError, match="kspace_encoding_step_1 of encoding space 0"):
        sort([lines(1)], scan)


def test_absurd_sizes_are_refused_before_memory_is_taken():
    huge = header((65535, 65535, 65535), oversampling=1, calibration="embedded")
    with pytest.raises(DataError, match=r"would take .* GB"):
        sort([lines(2)], huge)
    # 4096 x 4096 lines of which two came.
    large = header((64, 4096, 4096), oversampling=1, calibration="embedded")
    with pytest.raises(DataError, match="only 2 of 16777216 lines"):
        sort([lines(2)], large)
    with pytest.raises(DataError, match="only 2 of"):
        sort([lines(2, contrast=[0, 65535], samples=8, channels=64)], N_dimension="contrast")
    with pytest.raises(DataError, match="the limit is 1e-06 GB"):
        sort([lines(2)], parameters={"buffer_bytes_max": "1000"})


@pytest.mark.parametrize("value", [np.nan, np.inf, complex(0, -np.inf)])
@pytest.mark.parametrize("domain", list(ReadoutDomain))
def test_samples_that_are_not_finite_are_named(value, domain):
    item = lines(8)
    item.data[2, 1, 3] = value
    item.data[5, 0, 0] = value
    if domain is ReadoutDomain.IMAGE:
        with np.errstate(invalid="ignore"):
            item = dataclasses.replace(item, data=ifft(item.data, -1), readout_domain=domain)
    with pytest.raises(DataError, match=r"2 readout.*scan counter 2, 5"):
        sort([item])


def test_large_finite_samples_are_taken():
    item = lines(8)
    item.data[:] = 3e38
    assert len(sort([item])) == 1
