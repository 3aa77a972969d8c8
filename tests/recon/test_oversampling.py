import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.recon import oversampling
from elastron.recon.fft import fft, ifft
from elastron.recon.oversampling import (
    cropped_length,
    remove_oversampling,
    resample_trajectory,
)


def complex_noise(seed, *shape):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@given(st.data(), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=120)
def test_equals_transform_crop_transform(data, to_kspace, small_blocks):
    n, channels, samples = (data.draw(st.integers(1, most)) for most in (5, 3, 24))
    n_out = data.draw(st.integers(1, samples))
    x = complex_noise(samples, n, channels, samples)
    start = (samples - n_out) // 2
    expected = ifft(x, -1)[..., start : start + n_out]
    if to_kspace:
        expected = fft(expected, -1)
    with pytest.MonkeyPatch.context() as patch:
        if small_blocks:
            patch.setattr(oversampling, "_BLOCK_BYTES", 2 * channels * samples * 8)
        actual = remove_oversampling(x, n_out, to_kspace=to_kspace)
    assert actual.dtype == np.complex64
    assert not np.shares_memory(actual, x)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_unaligned_rows_between_headers():
    record = np.dtype([("header", "V342"), ("data", "<c8", (2, 16))])
    wire = np.zeros(7, record)
    wire["data"] = complex_noise(0, 7, 2, 16)
    view = wire["data"]
    assert not view.flags.aligned
    np.testing.assert_array_equal(remove_oversampling(view, 8), remove_oversampling(view.copy(), 8))


def test_an_object_inside_the_smaller_field_of_view_is_kept():
    image = np.zeros((1, 1, 32), np.complex64)
    image[..., 10:20] = complex_noise(1, 10)
    np.testing.assert_allclose(
        ifft(remove_oversampling(fft(image, -1), 16), -1), image[..., 8:24], atol=1e-5
    )


def test_no_readouts():
    assert remove_oversampling(np.zeros((0, 2, 16), np.complex64), 8).shape == (0, 2, 8)


@pytest.mark.parametrize(("n", "ratio", "expected"), [(512, 2.0, 256), (400, 1.6, 250), (7, 2, 3)])
def test_cropped_length_rounds_down(n, ratio, expected):
    assert cropped_length(n, ratio) == expected


@given(st.integers(2, 40), st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_a_straight_trajectory_stays_straight_and_centred(n_in, n_out):
    n_out = min(n_in, n_out)
    straight = (np.arange(n_in, dtype=np.float32) - n_in // 2)[None, :, None]
    result = resample_trajectory(straight, n_out)[0, :, 0]
    expected = (np.arange(n_out) - n_out // 2) * (n_in / n_out)
    np.testing.assert_allclose(result, np.clip(expected, straight.min(), straight.max()), atol=1e-4)
