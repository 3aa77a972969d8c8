"""Virtual channels."""

import numpy as np
import pytest

from elastron.errors import DataError
from elastron.recon.eigen_channels import combine_channels, count_kept, eigen_channels
from elastron.recon.fft import fft


def correlated(channels=6, samples=500, seed=0):
    """Samples of few independent signals in many channels, with a mean."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)

    strengths = np.geomspace(10, 0.01, channels)
    mixed = draw(channels, channels) @ (strengths[:, None] * draw(channels, samples))
    return (mixed + 3).astype(np.complex64).reshape(channels, 5, -1)


def test_virtual_channels_are_uncorrelated_and_sorted():
    samples = correlated()
    values, vectors = eigen_channels(samples)
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(6), atol=1e-10)
    virtual = combine_channels(samples.reshape(6, -1), vectors)
    centred = (virtual - virtual.mean(axis=1, keepdims=True)).astype(np.complex128)
    covariance = centred @ centred.conj().T
    np.testing.assert_allclose(np.diag(covariance).real, values, rtol=1e-3)
    off = covariance - np.diag(np.diag(covariance))
    assert np.abs(off).max() < 1e-4 * values[0]
    assert (np.diff(values) <= 0).all()


def test_they_are_the_right_singular_vectors_that_lapack_gives():
    """So that what depends on the channels' phase agrees with the original's SVD."""
    samples = correlated()
    flat = samples.reshape(6, -1)
    centred = (flat - flat.mean(axis=1, keepdims=True)).T.astype(np.complex128)
    expected = np.linalg.svd(centred, full_matrices=False)[2].conj().T
    _, vectors = eigen_channels(samples)
    assert np.abs(vectors[0].imag).max() < 1e-12
    signs = np.sign(np.sum(expected * vectors.conj(), axis=0).real)
    np.testing.assert_allclose(vectors * signs, expected, atol=1e-4)


@pytest.mark.parametrize("points", [100, 99])
def test_those_of_the_transform_need_no_transform(points):
    images = correlated()[..., :points]
    kspace = fft(images, -1)
    total = kspace.astype(np.complex128).sum(axis=(1, 2))
    centre = images[..., points // 2].astype(np.complex128).sum(axis=1) * np.sqrt(points)
    np.testing.assert_allclose(centre, total, rtol=1e-4)
    values, vectors = eigen_channels(images, total=centre)
    expected_values, expected = eigen_channels(kspace)
    np.testing.assert_allclose(values, expected_values, rtol=1e-3)
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    assert not np.allclose(values, eigen_channels(images)[0], rtol=1e-3)


def test_all_channels_keep_all_energy():
    samples = correlated()
    _, vectors = eigen_channels(samples)
    virtual = combine_channels(samples.reshape(6, -1), vectors)
    assert virtual.dtype == np.complex64
    np.testing.assert_allclose(
        np.linalg.norm(virtual, axis=0), np.linalg.norm(samples.reshape(6, -1), axis=0), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("threshold", "modes", "expected"),
    [(0.1, 0, 2), (0.1, 3, 3), (0.1, 9, 2), (-1, 0, 5), (0, 0, 5), (1e-9, 0, 5), (2, 0, 1)],
)
def test_count_kept(threshold, modes, expected):
    values = np.array([10, 1.5, 0.5, 1.2, 0.1])
    assert count_kept(values, threshold=threshold, modes=modes) == expected


def test_samples_that_are_not_finite():
    with pytest.raises(DataError, match="not finite"):
        eigen_channels(np.full((2, 8), np.inf, np.complex64))


def test_other_array_namespaces():
    xp = pytest.importorskip("array_api_strict")
    samples = correlated()
    values, vectors = eigen_channels(samples)
    strict_values, strict_vectors = eigen_channels(xp.asarray(samples))
    np.testing.assert_allclose(strict_values, values, rtol=1e-5)
    np.testing.assert_allclose(np.abs(strict_vectors), np.abs(vectors), atol=1e-4)
    flat = samples.reshape(6, -1)
    np.testing.assert_allclose(
        np.asarray(combine_channels(xp.asarray(flat), vectors)),
        combine_channels(flat, vectors),
        atol=1e-3,
    )
