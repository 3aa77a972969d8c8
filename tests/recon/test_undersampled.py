"""Short transforms of regularly undersampled k-space."""

import numpy as np
import pytest

from elastron.recon.fft import ifft
from elastron.recon.grappa import unmix
from elastron.recon.undersampled import spacing, unmixed_image


def noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@pytest.mark.parametrize(
    ("lines", "n", "expected"),
    [
        (range(0, 12, 2), 12, (0, 2)),
        (range(1, 12, 3), 12, (1, 3)),
        (range(1, 11, 3), 11, (0, 1)),  # 3 does not divide 11
        (range(2, 12, 4), 12, (2, 4)),
        ([6, 8, 10], 12, (0, 2)),  # partial Fourier
        ([0, 2, 3], 12, (0, 1)),
        ([5], 12, (5, 12)),
        ([], 12, (0, 1)),
        (range(7), 7, (0, 1)),
    ],
)
def test_spacing(lines, n, expected):
    assert spacing(np.isin(np.arange(n), list(lines))) == expected


@pytest.mark.parametrize("readout", [False, True])
@pytest.mark.parametrize(
    ("shape", "first", "step"),
    [
        ((3, 1, 12, 6), (0, 0), (1, 1)),
        ((3, 1, 12, 6), (0, 1), (1, 2)),
        ((2, 1, 12, 5), (0, 2), (1, 3)),
        ((2, 1, 15, 4), (0, 1), (1, 3)),
        ((2, 1, 9, 4), (0, 2), (1, 9)),
        ((2, 1, 11, 4), (0, 1), (1, 2)),
        ((2, 8, 12, 4), (1, 0), (2, 3)),
        ((2, 9, 10, 4), (2, 1), (3, 2)),
        ((2, 6, 10, 4), (0, 0), (1, 2)),
    ],
)
def test_it_is_the_transform_of_all_lines(shape, first, step, readout):
    channels, n2, n1, n0 = shape
    sampled = np.zeros((n2, n1), bool)
    sampled[first[0] :: step[0], first[1] :: step[1]] = True
    kspace = np.where(sampled[None, :, :, None], noise(shape), 0).astype(np.complex64)
    unmixing = noise((channels - 1, n2, n1, n0), 1)
    axes = (1, 2, 3) if readout else (1, 2)
    expected = unmix(ifft(kspace, axes), unmixing)
    found = unmixed_image(kspace, sampled, unmixing, readout=readout)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_nothing_sampled_is_an_empty_image():
    kspace = np.zeros((2, 1, 8, 4), np.complex64)
    image = unmixed_image(kspace, np.zeros((1, 8), bool), noise((2, 1, 8, 4)), readout=True)
    assert not image.any()


def test_other_array_namespaces():
    xp = pytest.importorskip("array_api_strict")
    kspace, unmixing = np.zeros((2, 1, 8, 4), np.complex64), noise((2, 1, 8, 4), 1)
    kspace[:, :, ::2] = noise((2, 1, 4, 4))
    sampled = np.arange(8)[None] % 2 == 0
    strict = unmixed_image(xp.asarray(kspace), sampled, xp.asarray(unmixing), readout=True)
    expected = unmixed_image(kspace, sampled, unmixing, readout=True)
    np.testing.assert_allclose(np.asarray(strict), expected, atol=1e-5)
