import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.recon import sum_of_squares
from elastron.recon.fft import ifft
from elastron.recon.sum_of_squares import magnitude_image


def complex_noise(seed, *shape):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
    st.sets(st.integers(1, 3)),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_equals_the_combined_centred_transforms(shape, axes, overwrite, small_blocks):
    x = complex_noise(sum(shape), *shape)
    expected = np.sqrt((np.abs(ifft(x, sorted(axes))) ** 2).sum(axis=0))
    with pytest.MonkeyPatch.context() as patch:
        if small_blocks:
            patch.setattr(sum_of_squares, "_BLOCK_BYTES", 1)
        actual = magnitude_image(x.copy(), sorted(axes), overwrite=overwrite)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_input_is_left_alone_unless_overwrite_is_given():
    x = complex_noise(0, 2, 1, 8, 8)
    before = x.copy()
    magnitude_image(x, (1, 2))
    magnitude_image(x, ())
    np.testing.assert_array_equal(x, before)


def test_strided_and_read_only_input():
    x = complex_noise(0, 4, 1, 8, 16)
    x.flags.writeable = False
    actual = magnitude_image(x[::2, :, :, ::2], (2,), overwrite=True)
    expected = magnitude_image(np.ascontiguousarray(x[::2, :, :, ::2]), (2,))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    magnitude_image(x, (), overwrite=True)


def test_no_coils():
    assert not magnitude_image(np.zeros((0, 1, 4, 4), np.complex64), (2,)).any()


def test_other_array_namespaces():
    strict = pytest.importorskip("array_api_strict")
    x = complex_noise(0, 3, 1, 8, 5)
    actual = magnitude_image(strict.asarray(x), (2, 3))
    np.testing.assert_allclose(np.asarray(actual), magnitude_image(x, (2, 3)), atol=1e-5)
