import numpy as np
import pytest

from elastron.recon.combination import (
    coarse,
    coarse_images,
    combine,
    halved,
    hanning_smoothed,
    interpolated,
)
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


def test_halved_images_keep_every_second_pixel_of_what_is_smooth():
    smooth = coil_sensitivities(3, (2, 32, 48))
    small = halved(smooth)
    assert small.shape == (3, 2, 16, 24)
    # The edges wrap around.
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert np.allclose(small[inner], smooth[..., ::2, ::2][inner], rtol=0.02, atol=0.02)
    assert np.allclose(halved(np.ones((1, 1, 8, 8), np.complex64)), 1)
    # What would fold over is gone.
    grid = np.indices((8, 8)).sum(axis=0) % 2
    assert np.allclose(halved((1 - 2 * grid)[None, None].astype(np.complex64)), 0)


@pytest.mark.parametrize(
    ("shape", "minimum", "expected"),
    [
        ((256, 256), 128, (128, 128)),
        ((512, 256), 128, (256, 128)),
        ((512, 512), 128, (128, 128)),
        ((254, 256), 128, (254, 256)),
        ((256, 258), 64, (128, 129)),  # as far as the lengths are even
        ((256, 256), 0, (256, 256)),
    ],
)
def test_grids_do_not_get_too_coarse(shape, minimum, expected):
    images = np.zeros((1, 1, *shape), np.complex64)
    assert coarse(images, minimum).shape[2:] == expected


@pytest.mark.parametrize("step", [2, 4])
def test_combination_with_coarse_maps(step):
    maps = coil_sensitivities(6, 64, normalize=True)[:, None]
    image = shepp_logan(64).astype(np.complex64)
    combined = combine(image * maps, maps[..., ::step, ::step])
    inner = (slice(0, 1), slice(0, 64 - step), slice(0, 64 - step))
    assert np.allclose(np.abs(combined[inner]), image[None][inner], atol=2e-3)
    assert not combine(image * maps, 0 * maps[..., ::step, ::step]).any()


def test_other_array_namespaces():
    strict = pytest.importorskip("array_api_strict")
    images, maps = random_images(2, 1, 4, 6), random_images(2, 1, 4, 6)
    combined = combine(strict.asarray(images), strict.asarray(maps))
    assert np.allclose(np.asarray(combined), combine(images, maps), atol=1e-5)
    small = combine(strict.asarray(images), halved(strict.asarray(maps)))
    assert np.allclose(np.asarray(small), combine(images, halved(maps)), atol=1e-5)
    smooth = hanning_smoothed(strict.asarray(images), (2, 3))
    assert np.allclose(np.asarray(smooth), hanning_smoothed(images, (2, 3)), atol=1e-5)


def test_interpolated_maps():
    random = random_images(4, 1, 6, 8)
    maps = random / np.linalg.norm(random, axis=0)
    maps[:, 0, 2, 3] = 0
    found = interpolated(maps, 2)
    assert found.shape == (4, 1, 12, 16)
    assert np.allclose(found[..., ::2, ::2], maps, atol=1e-6)
    four = maps[:, 0, 4:6, 5:7].sum(axis=(1, 2))
    assert np.allclose(found[:, 0, 9, 11], four / np.linalg.norm(four), atol=1e-5)
    size = np.linalg.norm(found, axis=0)
    assert np.allclose(np.delete(size.ravel(), 4 * 16 + 6), 1, atol=1e-5)
    # The edges wrap around.
    last = maps[:, 0, :, [-1, 0]].sum(axis=0)
    assert np.allclose(found[:, 0, ::2, -1], last / np.linalg.norm(last, axis=0), atol=1e-5)


@pytest.mark.parametrize("axes", [(2,), (2, 3)])
def test_coarse_images_from_kspace(axes):
    images = coil_sensitivities(3, 64)[:, None] * shepp_logan(64)
    images = hanning_smoothed(images.astype(np.complex64), (2, 3))
    found = coarse_images(fft(images, axes), axes, 16)
    expected = coarse(images, 16)
    assert found.shape == expected.shape
    # They differ by what folds over in the latter.
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)
    assert coarse_images(images, axes, 0) is None
