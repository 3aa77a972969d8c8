import numpy as np
import pytest

from elastron.recon.combination import combine, hanning_smoothed
from elastron.recon.fft import fft, ifft
from elastron.recon.phantom import coil_sensitivities, shepp_logan


def random_images(*shape):
    random = np.random.default_rng(0)
    return (random.standard_normal(shape) + 1j * random.standard_normal(shape)).astype(np.complex64)


def test_smoothing_is_a_hanning_window_in_kspace():
    images = random_images(3, 4, 6, 8)
    expected = fft(images, (1, 2, 3))
    for axis in (1, 2, 3):
        n = images.shape[axis]
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
        expected = expected * window.reshape((-1,) + (1,) * (3 - axis))
    expected = ifft(expected.astype(np.complex64), (1, 2, 3))
    assert np.allclose(hanning_smoothed(images, (1, 2, 3)), expected, atol=1e-5)


def test_combination_with_true_maps_gives_the_object():
    maps = coil_sensitivities(5, 32, normalize=True)[:, None]
    image = shepp_logan(32).astype(np.complex64)
    assert np.allclose(combine(image * maps, maps), image[None], atol=1e-5)


def test_other_array_namespaces():
    strict = pytest.importorskip("array_api_strict")
    images, maps = random_images(2, 4, 6), random_images(2, 4, 6)
    combined = combine(strict.asarray(images), strict.asarray(maps))
    assert np.allclose(np.asarray(combined), combine(images, maps), atol=1e-5)
    smooth = hanning_smoothed(strict.asarray(images), (1, 2))
    assert np.allclose(np.asarray(smooth), hanning_smoothed(images, (1, 2)), atol=1e-5)
