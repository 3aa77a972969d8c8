import numpy as np
import pytest

from elastron.errors import DataError
from elastron.mrd.acquisition import AcquisitionFlag as Flag
from elastron.recon.fft import ifft
from elastron.recon.phantom_scan import (
    Calibration,
    PhantomSettings,
    phantom_acquisitions,
    phantom_images,
)


def scan(**settings):
    header, batches = phantom_acquisitions(PhantomSettings(**settings))
    return header, list(batches)


def lines(batch, *flags):
    index = batch.counter("kspace_encode_step_1")
    return list(index[batch.any_flag(*flags)]) if flags else list(index)


def flags_at(batch, row):
    value = int(batch.headers["flags"][row])
    return {flag for flag in Flag if value & int(flag.mask)}


def test_a_full_scan_transforms_back_to_the_phantom():
    settings = PhantomSettings(matrix=32, coils=3, slices=2, noise_level=0)
    _, batches = phantom_acquisitions(settings)
    images = []
    for batch in batches:
        assert batch.data.shape == (32, 3, 64)
        assert batch.data.dtype == np.complex64
        image = ifft(batch.data, (0, 2))[..., 16:48]
        images.append(np.sqrt(np.sum(np.abs(image) ** 2, axis=1)))
    truth = phantom_images(settings)
    assert truth.shape == (2, 1, 32, 32)
    assert np.allclose(images, truth[:, 0], atol=1e-5)
    assert not np.allclose(truth[0], truth[1])


def test_a_volume_transforms_back_to_the_phantom():
    settings = PhantomSettings(matrix=16, partitions=8, coils=2, noise_level=0, oversampling=1)
    _, batches = phantom_acquisitions(settings)
    kspace = np.zeros((8, 16, 2, 16), np.complex64)
    for batch in batches:
        kspace[batch.counter("kspace_encode_step_2"), lines(batch)] = batch.data
    image = np.sqrt(np.sum(np.abs(ifft(kspace, (0, 1, 3))) ** 2, axis=2))
    assert np.allclose(image, phantom_images(settings)[0], atol=1e-5)


def test_noise_has_its_level():
    _, (noise, full) = scan(matrix=32, coils=4, noise_level=0.1, noise_readouts=8)
    assert flags_at(noise, 0) == {Flag.IS_NOISE_MEASUREMENT}
    assert noise.data.shape == (8, 4, 64)
    assert np.std(noise.data.real) == pytest.approx(0.1, rel=0.05)
    _, (clean,) = scan(matrix=32, coils=4, noise_level=0)
    assert np.std((full.data - clean.data).imag) == pytest.approx(0.1, rel=0.05)


def test_embedded_calibration_as_in_a_converted_scan():
    header, (batch,) = scan(matrix=32, acceleration=(2, 1), calibration_lines=6)
    assert lines(batch) == [*range(0, 13, 2), 13, 14, 15, 16, 17, *range(18, 32, 2)]
    assert lines(batch, Flag.IS_PARALLEL_CALIBRATION) == [13, 15, 17]
    assert lines(batch, Flag.IS_PARALLEL_CALIBRATION_AND_IMAGING) == [14, 16, 18]
    parallel = header.encoding[0].parallelImaging
    assert parallel.calibrationMode.value == "embedded"
    assert parallel.accelerationFactor.kspace_encoding_step_1 == 2


def test_separate_calibration_comes_once_before_the_images():
    _, batches = scan(
        matrix=32,
        slices=2,
        repetitions=2,
        acceleration=(4, 1),
        calibration=Calibration.SEPARATE,
        calibration_lines=8,
    )
    assert [list(set(b.counter("slice"))) for b in batches] == [[0], [1], [0], [1], [0], [1]]
    for batch in batches[:2]:
        assert lines(batch, Flag.IS_PARALLEL_CALIBRATION) == list(range(12, 20))
    for batch in batches[2:]:
        assert lines(batch) == list(range(0, 32, 4))
        assert not batch.any_flag(Flag.IS_PARALLEL_CALIBRATION).any()


@pytest.mark.parametrize(("width", "flag_share"), [(0, 1.0), (4, 0.2)])
def test_interleaved_lines_move_on(width, flag_share):
    header, batches = scan(
        matrix=32,
        repetitions=3,
        acceleration=(3, 1),
        calibration=Calibration.INTERLEAVED,
        calibration_lines=width,
    )
    for repetition, batch in enumerate(batches):
        imaging = ~batch.any_flag(Flag.IS_PARALLEL_CALIBRATION)
        index = batch.counter("kspace_encode_step_1")[imaging]
        assert np.all(index % 3 == repetition)
        both = batch.any_flag(Flag.IS_PARALLEL_CALIBRATION_AND_IMAGING)
        assert np.mean(both) <= flag_share
        assert both.any()
    assert header.encoding[0].parallelImaging.calibrationMode.value == "interleaved"


def test_no_calibration_data():
    _, (batch,) = scan(matrix=32, acceleration=(2, 1), calibration=Calibration.NONE)
    assert lines(batch) == list(range(0, 32, 2))


def test_acceleration_along_z_keeps_a_central_block():
    _, batches = scan(matrix=16, partitions=12, coils=2, acceleration=(2, 2), calibration_lines=4)
    sampled = {int(batch.counter("kspace_encode_step_2")[0]): lines(batch) for batch in batches}
    assert set(sampled) == {0, 2, 4, 5, 6, 7, 8, 10}
    assert sampled[5] == [6, 7, 8, 9]
    assert sampled[4] == [0, 2, 4, 6, 7, 8, 9, 10, 12, 14]
    assert Flag.FIRST_IN_ENCODE_STEP2 in flags_at(batches[0], 0)
    assert Flag.LAST_IN_ENCODE_STEP2 in flags_at(batches[-1], -1)
    assert Flag.LAST_IN_SLICE in flags_at(batches[-1], -1)


def test_partial_fourier_leaves_out_the_first_lines():
    header, (batch,) = scan(matrix=32, partial_fourier=0.75)
    assert lines(batch) == list(range(8, 32))
    limit = header.encoding[0].encodingLimits.kspace_encoding_step_1
    assert (limit.minimum, limit.center, limit.maximum) == (8, 16, 31)


def test_flags_open_and_close_each_loop():
    _, batches = scan(matrix=16, slices=2, repetitions=2, coils=1)
    first = {Flag.FIRST_IN_ENCODE_STEP1, Flag.FIRST_IN_SLICE}
    last = {Flag.LAST_IN_ENCODE_STEP1, Flag.LAST_IN_SLICE}
    assert flags_at(batches[0], 0) == first | {Flag.FIRST_IN_REPETITION}
    assert flags_at(batches[1], 0) == first
    assert flags_at(batches[0], -1) == last
    assert flags_at(batches[1], -1) == last | {Flag.LAST_IN_REPETITION}
    assert flags_at(batches[3], -1) == last | {Flag.LAST_IN_REPETITION, Flag.LAST_IN_MEASUREMENT}
    assert flags_at(batches[0], 5) == set()


def test_headers_count_and_tell_the_time():
    header, batches = scan(matrix=16, coils=70, slices=3, repetitions=2, noise_readouts=2)
    headers = np.concatenate([batch.headers for batch in batches])
    assert np.array_equal(headers["scan_counter"], np.arange(len(headers)))
    # 10 ms a readout in ticks of 2.5 ms.
    assert np.all(np.diff(headers["acquisition_time_stamp"].astype(int)) == 4)
    assert np.all(headers["number_of_samples"] == 32)
    assert np.all(headers["center_sample"] == 16)
    assert headers["channel_mask"][0, :3].tolist() == [2**64 - 1, 2**6 - 1, 0]
    positions = [float(batch.headers["position"][0, 2]) for batch in batches[1:4]]
    assert positions == pytest.approx([-7.2, 0, 7.2])
    directions = np.stack([headers[name][5] for name in ("read_dir", "phase_dir", "slice_dir")])
    assert np.array_equal(directions, np.eye(3))
    encoding = header.encoding[0]
    assert encoding.encodedSpace.matrixSize.x == 32
    assert encoding.encodedSpace.fieldOfView_mm.x == 600
    assert encoding.reconSpace.matrixSize.x == 16
    assert encoding.encodingLimits.slice.maximum == 2
    assert encoding.encodingLimits.repetition.maximum == 1


def test_repetitions_differ_by_noise_alone_and_seeds_repeat():
    _, (first, second) = scan(matrix=16, coils=2, repetitions=2, noise_level=0.01, seed=4)
    assert not np.array_equal(first.data, second.data)
    assert np.abs(first.data - second.data).max() < 0.1
    _, again = scan(matrix=16, coils=2, repetitions=2, noise_level=0.01, seed=4)
    assert np.array_equal(again[1].data, second.data)


@pytest.mark.parametrize(
    "settings",
    [
        {"matrix": 4},
        {"coils": 0},
        {"partial_fourier": 0.5},
        {"noise_correlation": 1.0},
        {"noise_level": -1.0},
        {"slices": 2, "partitions": 2},
        {"acceleration": (1, 2)},
        {"acceleration": (2, 1), "partial_fourier": 0.55, "calibration_lines": 64},
    ],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(DataError, match="phantom"):
        PhantomSettings(**settings)
