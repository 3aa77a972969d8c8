import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elastron.recon.fft import copy_alternate_signs, fft, flip_alternate_signs, ifft


def complex_noise(rng, *shape):
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def reference(x, axes, *, inverse):
    """The definition, in double precision, with three passes."""
    transform = np.fft.ifftn if inverse else np.fft.fftn
    y = transform(np.fft.ifftshift(x.astype(complex), axes=axes), axes=axes, norm="ortho")
    return np.fft.fftshift(y, axes=axes)


@st.composite
def arrays_and_axes(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=5, min_side=1, max_side=9))
    axes = draw(st.lists(st.integers(-len(shape), len(shape) - 1), min_size=1, max_size=4))
    return complex_noise(np.random.default_rng(draw(st.integers(0, 99))), *shape), axes


@given(arrays_and_axes(), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=150)
def test_transforms_equal_their_definition(case, inverse, overwrite):
    x, axes = case
    expected = reference(x, sorted({a % x.ndim for a in axes}), inverse=inverse)
    actual = (ifft if inverse else fft)(x.copy(), axes, overwrite=overwrite)
    assert actual.dtype == np.complex64
    np.testing.assert_allclose(actual, expected, atol=2e-6 * x.size**0.5 + 1e-6)


@given(arrays_and_axes())
@settings(deadline=None, max_examples=50)
def test_transforms_are_unitary(case):
    x, axes = case
    y = np.random.default_rng(1).standard_normal(x.shape).astype(np.complex64)
    # <F x, y> = <x, F^-1 y>: the inverse is the adjoint.
    left = np.vdot(fft(x, axes).astype(complex), y)
    right = np.vdot(x.astype(complex), ifft(y, axes))
    assert abs(left - right) <= 1e-5 * (1 + np.linalg.norm(x) * np.linalg.norm(y))
    np.testing.assert_allclose(ifft(fft(x, axes), axes), x, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 4, 600, 130), (2, 6, 64, 64, 40), (1, 300_000)])
def test_arrays_larger_than_the_sign_table(shape):
    x = complex_noise(np.random.default_rng(0), *shape)
    axes = tuple(range(1, len(shape)))
    np.testing.assert_allclose(
        ifft(x, axes, threads=2), reference(x, axes, inverse=True), atol=2e-5
    )


def test_a_constant_becomes_a_point_in_the_centre():
    x = np.ones((2, 8, 9), np.complex64)
    y = ifft(x, (1, 2))
    assert y[0, 4, 4] == pytest.approx(np.sqrt(72))
    y[:, 4, 4] = 0
    assert np.abs(y).max() < 1e-5


def test_input_is_left_alone_unless_overwrite_is_given():
    x = complex_noise(np.random.default_rng(0), 4, 8)
    before = x.copy()
    fft(x, 1)
    np.testing.assert_array_equal(x, before)
    y = fft(x, 1, overwrite=True)
    assert np.shares_memory(x, y)


def test_unaligned_read_only_and_strided_input():
    x = complex_noise(np.random.default_rng(0), 4, 16)
    raw = bytearray(x.nbytes + 3)
    raw[3:] = x.tobytes()
    unaligned = np.frombuffer(bytes(raw), np.complex64, offset=3).reshape(x.shape)
    expected = fft(x, 1)
    np.testing.assert_array_equal(fft(unaligned, 1, overwrite=True), expected)
    np.testing.assert_array_equal(fft(np.repeat(x, 2, axis=1)[:, ::2], 1, overwrite=True), expected)


def test_other_dtypes_become_complex64():
    assert fft(np.arange(8.0), 0).dtype == np.complex64
    np.testing.assert_allclose(
        fft(np.arange(8.0), 0), reference(np.arange(8.0), (0,), inverse=False), atol=1e-5
    )


def test_empty_arrays_and_single_points_pass():
    assert fft(np.zeros((0, 4), np.complex64), 1).shape == (0, 4)
    assert fft(np.full((3, 1), 2, np.complex64), 1).tolist() == [[2], [2], [2]]


@pytest.mark.parametrize("negate", [False, True])
def test_flip_alternate_signs(negate):
    x = complex_noise(np.random.default_rng(0), 3, 4, 6)
    signs = (-1.0) ** np.add.outer(np.arange(4), np.arange(6)) * (-1 if negate else 1)
    y = x.copy()
    flip_alternate_signs(y, (1, 2), negate=negate)
    np.testing.assert_array_equal(y, x * signs.astype(np.float32))


@pytest.mark.parametrize("negate", [False, True])
def test_copy_alternate_signs_between_parts_of_arrays(negate):
    x = np.arange(24, dtype=np.complex64).reshape(2, 12) * (1 - 2j)
    out = np.zeros((2, 9), np.complex64)
    copy_alternate_signs(x[:, 5:], out[:, :7], negate=negate)
    signs = (-1.0) ** (np.arange(7) + negate)
    np.testing.assert_array_equal(out[:, :7], x[:, 5:] * signs)
    assert not out[:, 7:].any()


def test_other_array_namespaces():
    strict = pytest.importorskip("array_api_strict")
    x = complex_noise(np.random.default_rng(0), 3, 8, 5)
    y = ifft(strict.asarray(x), (1, 2))
    np.testing.assert_allclose(np.asarray(y), ifft(x, (1, 2)), atol=1e-5)
