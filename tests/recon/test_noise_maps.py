import numpy as np
import pytest

from elastron.recon.noise_maps import std_map


def test_the_map_is_the_deviation_of_the_magnitude():
    random = np.random.default_rng(2)
    images = random.standard_normal((2, 1, 40, 1, 1, 16, 16, 2)).astype(np.float32)
    images = images.view(np.complex64)[..., 0] + np.complex64(50j)
    images[:, :, :5] *= 100
    result = std_map(images, axis=2, start=5)
    assert result.shape == (2, 1, 1, 1, 1, 16, 16)
    assert result.dtype == np.float32
    assert np.allclose(result[:, :, 0], np.std(np.abs(images[:, :, 5:]), axis=2))
    # Of a signal far above it, noise of unit variance in each part shows as 1.
    assert result.mean() == pytest.approx(1, abs=0.05)
