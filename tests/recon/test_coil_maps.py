"""Coil maps against a pixel-by-pixel reference, and against known sensitivities."""

import numpy as np
import pytest

from elastron.recon.coil_maps import (
    box_sum,
    inati,
    inati_iterative,
    walsh,
)
from elastron.recon.phantom import coil_sensitivities, shepp_logan

ALGORITHMS = [inati, inati_iterative, walsh]


def noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def brute_force(images, size, power):
    """Inati's map, one singular value problem a pixel."""
    maps = np.zeros(images.shape, np.complex128)
    offsets = [np.arange(n) - n // 2 for n in size]
    for index in np.ndindex(*images.shape[1:]):
        window = np.ix_(
            *((i + o) % n for i, o, n in zip(index, offsets, images.shape[1:], strict=True))
        )
        d = images[(slice(None), *window)].reshape(len(images), -1).T.astype(np.complex128)
        v = d.sum(axis=0)
        for _ in range(power):
            v = d.conj().T @ (d @ v)
            v /= np.linalg.norm(v)
        total = (d @ v).sum()
        maps[(slice(None), *index)] = v.conj() * total / abs(total)
    return maps


@pytest.mark.parametrize("shape", [(3, 1, 12, 10), (2, 7, 8, 9)])
@pytest.mark.parametrize("threads", [1, 2])
def test_inati_is_the_local_power_method(shape, threads):
    images = noise(shape) + 3 * noise((shape[0], 1, 1, 1), 1)
    size = (3 if shape[1] > 1 else 1, 5, 5)
    maps = inati(images, (5, 3), threads=threads)
    np.testing.assert_allclose(maps, brute_force(images, size, 3), atol=1e-4)


def test_windows_of_different_sizes_in_x_and_y():
    images = noise((3, 1, 12, 10)) + 3 * noise((3, 1, 1, 1), 1)
    np.testing.assert_allclose(
        inati(images, (5, 3, 1)), brute_force(images, (1, 3, 5), 3), atol=1e-4
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("matrix", [64, (12, 32, 32)])
def test_known_sensitivities(algorithm, matrix):
    """Where there is signal, maps are the sensitivities, but for the object's phase."""
    truth = coil_sensitivities(6, matrix, normalize=True)
    image = shepp_logan(matrix)
    if isinstance(matrix, int):
        truth, image = truth[:, None], image[None]
    phase = np.exp(1j * np.linspace(0, 1, image.shape[-1])).astype(np.complex64)
    maps = algorithm(truth * image * phase)
    inside = box_sum((image > 0.05).astype(np.float32), (1, 1, 1)) > 0
    product = np.abs(np.sum(maps.conj() * truth, axis=0))
    assert np.quantile(product[inside], 0.02) > 0.99
    norms = np.linalg.norm(maps, axis=0)
    np.testing.assert_allclose(norms[inside], 1, atol=1e-5)


def test_the_object_keeps_no_phase_with_inati():
    truth = coil_sensitivities(6, 64, normalize=True)[:, None]
    image = shepp_logan(64)[None] * np.exp(1j * np.linspace(-2, 2, 64))
    images = (truth * image).astype(np.complex64)
    combined = np.sum(inati(images).conj() * images, axis=0)
    inside = np.abs(image) > 0.1
    assert np.abs(np.angle(combined[inside])).mean() < 0.05


def test_walsh_has_a_real_first_channel():
    maps = walsh(noise((3, 1, 16, 16)))
    assert np.abs(maps[0].imag).max() < 1e-5
    assert maps[0].real.min() >= 0


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scale_does_not_matter(algorithm, scale):
    images = noise((3, 1, 16, 16)) + 5
    np.testing.assert_allclose(algorithm(images * np.float32(scale)), algorithm(images), atol=1e-4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_empty_space_gives_no_nan(algorithm):
    images = np.zeros((3, 1, 20, 20), np.complex64)
    assert not algorithm(images).any()
    images[:, 0, 15, 15] = [1, 2, 3]
    maps = algorithm(images)
    assert np.isfinite(maps).all()
    np.testing.assert_allclose(np.abs(maps[:, 0, 15, 15]), np.array([1, 2, 3]) / 14**0.5, atol=1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_single_channel_has_sensitivity_one(algorithm):
    assert (algorithm(noise((1, 1, 8, 8))) == 1).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 9, 12])
def test_box_sum(n):
    x = noise((2, 20, 15))
    windows = np.lib.stride_tricks.sliding_window_view(x, (n, 3), (1, 2))
    np.testing.assert_allclose(box_sum(x, (n, 3)), windows.sum((-1, -2)), atol=1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_array_namespaces(algorithm):
    xp = pytest.importorskip("array_api_strict")
    images = noise((3, 1, 12, 10))
    strict = algorithm(xp.asarray(images))
    np.testing.assert_allclose(np.asarray(strict), algorithm(images), atol=1e-4)
