import numpy as np
import pytest

from elastron.recon import local_covariance
from elastron.recon.local_covariance import power_method


def random_images(*shape):
    random = np.random.default_rng(0)
    return random.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]


def unchanged(mean, vector):
    return vector


def by_pixels(padded, size, power, conjugate_start):
    """The definition, pixel by pixel, in double precision."""
    shape = [n - k + 1 for n, k in zip(padded.shape[1:], size, strict=True)]
    result = np.empty((len(padded), *shape), complex)
    for index in np.ndindex(*shape):
        window = tuple(slice(i, i + k) for i, k in zip(index, size, strict=True))
        d = padded[(slice(None), *window)].reshape(len(padded), -1).T.astype(complex)
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
    [((3, 1, 20, 13), (1, 7, 7)), ((2, 12, 9, 8), (5, 3, 3)), ((4, 1, 9, 9), (1, 5, 1))],
)
@pytest.mark.parametrize("conjugate_start", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_vectors_are_those_of_the_definition(shape, size, conjugate_start, threads):
    padded = random_images(*shape)
    vectors = power_method(
        padded,
        size,
        power=3,
        conjugate_start=conjugate_start,
        finish=unchanged,
        threads=threads,
    )
    assert vectors.dtype == np.complex64
    assert np.allclose(vectors, by_pixels(padded, size, 3, conjugate_start), atol=1e-4)


def test_blocks_of_unequal_height_join_without_a_seam(monkeypatch):
    padded = random_images(2, 1, 29, 12)
    whole = power_method(padded, (1, 3, 3), power=2, conjugate_start=False, finish=unchanged)
    monkeypatch.setattr(local_covariance, "_BLOCK_BYTES", 1)
    parts = power_method(padded, (1, 3, 3), power=2, conjugate_start=False, finish=unchanged)
    assert np.allclose(whole, parts, atol=1e-6)


def test_pixels_without_signal_stay_zero():
    padded = random_images(3, 1, 16, 16)
    padded[..., :9, :] = 0
    vectors = power_method(padded, (1, 3, 3), power=3, conjugate_start=False, finish=unchanged)
    assert not vectors[:, :, :7].any()
    assert np.allclose(np.linalg.norm(vectors[:, :, 7:], axis=0), 1, atol=1e-5)


def test_finish_sees_sums_over_the_windows():
    padded = np.ones((2, 1, 8, 8), np.complex64)
    result = power_method(
        padded, (1, 3, 3), power=1, conjugate_start=False, finish=lambda mean, vector: mean
    )
    assert np.all(result == 9)
