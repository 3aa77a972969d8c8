"""Calibration data: averages, and images for coil maps."""

import numpy as np
import pytest

from elastron.errors import DataError
from elastron.mrd.buffers import SamplingLimit
from elastron.recon.calibration import average_repeats, coil_map_images, sampled_span
from elastron.recon.fft import fft, ifft
from elastron.recon.filters import reference_filter


def noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def interleaved(repeats, acceleration):
    """Data (1, 1, N, 2, 1, 8, 4) of which every N holds its own lines, and where it does."""
    full = noise((1, 1, 1, 2, 1, 8, 4))
    sampled = np.zeros((1, 1, repeats, 1, 8), bool)
    for n in range(repeats):
        sampled[:, :, n, :, n % acceleration :: acceleration] = True
    return full, np.where(sampled[:, :, :, None, :, :, None], full, 0), sampled


def test_interleaved_lines_are_averaged_by_how_often_they_were_sampled():
    """7 frames of R=3: lines were sampled 3, 2 and 2 times."""
    full, data, sampled = interleaved(7, 3)
    average = average_repeats(data, sampled, over_n=True, over_s=False)
    np.testing.assert_allclose(average, full, rtol=1e-6)
    assert average.dtype == np.complex64


def test_lines_never_sampled_stay_empty():
    _, data, sampled = interleaved(2, 3)
    average = average_repeats(data, sampled, over_n=True, over_s=False)
    assert not average[..., 2::3, :].any()


def test_averages_over_n_and_s():
    data = noise((2, 3, 4, 2, 1, 5, 6))
    np.testing.assert_allclose(
        average_repeats(data, None, over_n=True, over_s=True),
        data.mean(axis=(1, 2), keepdims=True),
        rtol=1e-5,
    )
    assert average_repeats(data, None, over_n=False, over_s=True).shape[1:3] == (1, 4)
    assert average_repeats(data, None, over_n=False, over_s=False) is data


@pytest.mark.parametrize(
    ("sampled", "span"), [([0, 1, 0, 1, 0], (1, 3)), ([1], (0, 0)), ([0, 0], (0, -1))]
)
def test_sampled_span(sampled, span):
    assert sampled_span(np.array(sampled, bool)) == span


def limits(first, center, last, lines, lines2=1):
    return (
        SamplingLimit(first, center, last),
        SamplingLimit(0, lines // 2, lines - 1),
        SamplingLimit(0, lines2 // 2, lines2 - 1),
    )


def test_images_are_those_of_the_windowed_lines():
    kspace = noise((3, 1, 12, 32))
    images = coil_map_images(kspace, limits(0, 16, 31, 12), (32, 40, 1), about_center=False)
    padded = np.zeros((3, 1, 40, 32), np.complex64)
    padded[:, :, 14:26] = (
        kspace * reference_filter(12, 0, 11)[:, None] * reference_filter(32, 0, 31)
    )
    np.testing.assert_allclose(images, ifft(padded, (2, 3)), atol=1e-5)


def test_volumes_are_windowed_along_e2_too():
    kspace = noise((2, 6, 8, 16))
    images = coil_map_images(kspace, limits(0, 8, 15, 8, 6), (16, 20, 10), about_center=False)
    padded = np.zeros((2, 10, 20, 16), np.complex64)
    window = (
        reference_filter(6, 0, 5)[:, None, None]
        * reference_filter(8, 0, 7)[:, None]
        * reference_filter(16, 0, 15)
    )
    padded[:, 2:8, 6:14] = kspace * window
    np.testing.assert_allclose(images, ifft(padded, (1, 2, 3)), atol=1e-5)


def test_data_that_calibrates_itself_is_used_about_its_centre():
    """Partial Fourier: lines 8 … 31 of 32 give lines 9 … 23, symmetric about 16."""
    full = noise((2, 1, 32, 16))
    lines = full[:, :, 8:]
    found = coil_map_images(
        lines,
        (SamplingLimit(0, 8, 15), SamplingLimit(0, 8, 23), SamplingLimit(0, 0, 0)),
        (16, 32, 1),
        about_center=True,
    )
    kspace = fft(found, (2, 3))
    used = np.abs(kspace).sum(axis=(0, 1, 3)) > 1e-3
    assert np.flatnonzero(used).tolist() == list(range(9, 24))


def test_partial_echoes_are_windowed_about_the_centre_of_k_space():
    """Samples 10 … 31 of 32 were acquired: the window reaches from 10 to 22."""
    lines = np.ones((1, 1, 8, 22), np.complex64)
    found = coil_map_images(lines, limits(10, 16, 31, 8), (32, 8, 1), about_center=False)
    kspace = fft(found, (2, 3))
    used = np.abs(kspace).sum(axis=(0, 1, 2)) > 1e-3
    assert np.flatnonzero(used).tolist() == list(range(10, 23))


def test_calibration_data_beside_the_centre():
    with pytest.raises(DataError, match="centre of k-space"):
        coil_map_images(
            noise((1, 1, 4, 8)),
            (SamplingLimit(0, 4, 7), SamplingLimit(0, 9, 3), SamplingLimit(0, 0, 0)),
            (8, 16, 1),
            about_center=True,
        )
