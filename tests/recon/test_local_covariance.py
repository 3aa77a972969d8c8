import numpy as np
import pytest

from elastron.recon import local_covariance
from elastron.recon.local_covariance import power_method


def random_images(*shape):
    random = np.random.default_rng(0)
    return random.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]


def unchanged(mean, vector):
    return vector


def by_pixels(images, size, power, conjugate_start):
    """The definition, pixel by pixel, in double precision."""
    result = np.empty(images.shape, complex)
    for index in np.ndindex(*images.shape[1:]):
        window = [
            np.arange(i - k // 2, i + k // 2 + 1) % n
            for i, k, n in zip(index, size, images.shape[1:], strict=True)
        ]
        d = images[:, *np.ix_(*window)].reshape(len(images), -1).T.astype(complex)
        vector = d.sum(axis=0)
        if conjugate_start:
            vector = vector.conj()
        for _ in range(power):
            vector = d.conj().T @ (d @ vector)
            vector /= np.linalg.norm(vector)
        result[(slice(None), *index)] = vector
    return result


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((3, 1, 20, 13), (1, 7, 7)),
        ((2, 12, 9, 8), (5, 3, 3)),
        ((4, 1, 9, 9), (1, 5, 1)),
        ((2, 3, 4, 2), (5, 7, 7)),  # windows wider than the images
    ],
)
@pytest.mark.parametrize("conjugate_start", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_vectors_are_those_of_the_definition(shape, size, conjugate_start, threads):
    images = 1000 * random_images(*shape)
    vectors = power_method(
        images,
        size,
        power=3,
        conjugate_start=conjugate_start,
        finish=unchanged,
        threads=threads,
    )
    assert vectors.dtype == np.complex64
    assert np.allclose(vectors, by_pixels(images, size, 3, conjugate_start), atol=1e-4)


def test_blocks_of_unequal_height_join_without_a_seam(monkeypatch):
    images = random_images(2, 1, 29, 12)
    whole = power_method(images, (1, 3, 3), power=2, conjugate_start=False, finish=unchanged)
    monkeypatch.setattr(local_covariance, "_BLOCK_BYTES", 1)
    parts = power_method(images, (1, 3, 3), power=2, conjugate_start=False, finish=unchanged)
    assert np.allclose(whole, parts, atol=1e-6)


def test_pixels_without_signal_stay_zero():
    images = random_images(3, 1, 16, 16)
    images[..., :9, :] = 0
    vectors = power_method(images, (1, 3, 3), power=3, conjugate_start=False, finish=unchanged)
    assert not vectors[:, :, 1:8].any()
    assert np.allclose(np.linalg.norm(vectors[:, :, 8:], axis=0), 1, atol=1e-5)
    empty = power_method(0 * images, (1, 3, 3), power=3, conjugate_start=False, finish=unchanged)
    assert not empty.any()


def test_finish_sees_sums_over_the_windows():
    images = np.full((2, 1, 8, 8), 5, np.complex64)
    result = power_method(
        images, (1, 3, 3), power=1, conjugate_start=False, finish=lambda mean, vector: mean
    )
    assert np.allclose(result, 9)  # of images of peak 1


def test_the_images_are_left_alone():
    images = random_images(2, 1, 8, 8)
    before = images.copy()
    power_method(images, (1, 3, 3), power=1, conjugate_start=False, finish=unchanged)
    assert np.array_equal(images, before)
