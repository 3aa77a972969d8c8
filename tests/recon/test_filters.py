import numpy as np
import pytest

from elastron.recon.fft import fft, ifft
from elastron.recon.filters import (
    FilterType,
    asymmetric_filter,
    filter_images,
    reference_filter,
    sampled_filter,
    symmetric_filter,
    taper,
)


def rms(window):
    return np.sqrt(np.mean(window**2))


def random_images(*shape):
    random = np.random.default_rng(0)
    return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(np.complex64)


@pytest.mark.parametrize("kind", list(FilterType))
@pytest.mark.parametrize("n", [1, 2, 7, 8, 31, 128])
def test_symmetric_windows_have_unit_power_and_a_symmetric_center(kind, n):
    window = symmetric_filter(n, kind, sigma=1.0, width=n // 8)
    assert window.shape == (n,)
    assert rms(window) == pytest.approx(1)
    inner = window[1 - n % 2 :] if n > 2 else window
    assert np.allclose(inner, inner[::-1])
    assert window[n // 2] == window.max()


def test_gaussian_as_defined():
    # exp(-sigma² x² / 2) on -1 … 1; an even length leaves out the first point.
    window = symmetric_filter(9, FilterType.GAUSSIAN, sigma=2.0)
    assert window[0] / window[4] == pytest.approx(np.exp(-2))
    window = symmetric_filter(10, FilterType.GAUSSIAN, sigma=2.0)
    assert window[0] == 0
    assert window[1] / window[5] == pytest.approx(np.exp(-2))
    assert window[3] / window[5] == pytest.approx(np.exp(-0.5))


def test_hanning_is_the_periodic_one_for_even_lengths():
    window = symmetric_filter(16, FilterType.HANNING)
    expected = 0.5 * (1 - np.cos(2 * np.pi * np.arange(16) / 16))
    assert np.allclose(window / window[8], expected)


def test_tapered_hanning_is_flat_between_its_flanks():
    window = symmetric_filter(32, FilterType.TAPERED_HANNING, width=5)
    window /= window[16]
    assert np.allclose(window[6:27], 1)
    assert np.allclose(window[1:6], taper(5))
    assert np.allclose(window[27:], taper(5)[::-1])


def test_a_window_over_part_of_the_axis_has_unit_power_there():
    window = sampled_filter(64, 20, 63, FilterType.GAUSSIAN)
    assert rms(window[20:]) == pytest.approx(1)
    full = symmetric_filter(64, FilterType.GAUSSIAN, sigma=1.0)
    assert np.allclose(window / window[32], full / full[32])
    window = sampled_filter(64, 8, 50, FilterType.HANNING)
    # Both ends missing: the window ends with the wider half, 24 points about the centre.
    assert np.flatnonzero(window > 0)[[0, -1]].tolist() == [8, 56]
    assert rms(window[8:51]) == pytest.approx(1)


def test_asymmetric_windows():
    window = asymmetric_filter(16, 4, 15, width=3)
    assert np.all(window[:4] == 0)
    assert np.allclose(window[4:7] / window[8], taper(3))
    assert np.allclose(window[7:], window[8])
    assert rms(window[4:]) == pytest.approx(1)
    mirrored = asymmetric_filter(17, 0, 12, width=3)
    assert np.allclose(mirrored, asymmetric_filter(17, 4, 16, width=3)[::-1])
    both = asymmetric_filter(16, 0, 15, width=2)
    assert np.allclose(both[[0, 1]], both[[15, 14]])


@pytest.mark.parametrize(("first", "last"), [(4, 16), (0, 12)])
def test_density_compensation_counts_unmatched_lines_twice(first, last):
    window = asymmetric_filter(17, first, last, width=2, density_compensation=True)
    lonely = window[13:] if first else window[:4]
    assert np.allclose(lonely / window[8], 2)
    assert rms(window[first : last + 1]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("n", "first", "last", "span"),
    [
        (16, 0, 15, (1, 15)),
        (16, 5, 15, (5, 11)),
        (16, 0, 9, (7, 9)),
        (15, 3, 12, (3, 11)),
    ],
)
def test_reference_windows_cover_the_symmetric_part(n, first, last, span):
    window = reference_filter(n, first, last)
    filled = np.flatnonzero(window > 1e-12)
    assert (filled[0], filled[-1]) == span
    assert window[n // 2] == window.max()


def test_filtering_is_multiplication_in_kspace():
    images = random_images(2, 3, 15, 16)
    windows = {-1: np.linspace(0, 1, 16), 2: np.linspace(1, 2, 15)}
    before = images.copy()
    expected = fft(images, (2, 3)) * windows[2][:, None] * windows[-1]
    assert np.allclose(filter_images(images, windows), ifft(expected, (2, 3)), atol=1e-5)
    assert np.array_equal(images, before)
    assert filter_images(images, windows).dtype == np.complex64


def test_windows_of_ones_cost_nothing():
    images = random_images(4, 4)
    assert filter_images(images, {0: np.ones(4)}) is images


def test_filtering_in_another_array_namespace():
    strict = pytest.importorskip("array_api_strict")
    images = random_images(5, 8)
    windows = {1: symmetric_filter(8, FilterType.GAUSSIAN)}
    filtered = filter_images(strict.asarray(images), windows)
    assert np.allclose(np.asarray(filtered), filter_images(images, windows), atol=1e-6)
