import numpy as np
import pytest

from elastron.errors import DataError
from elastron.recon.phantom import (
    NoiseSource,
    coil_sensitivities,
    noise_covariance,
    relative_coordinates,
    shepp_logan,
)


def test_the_center_of_the_coordinates_is_the_center_of_the_transforms():
    for n in (7, 8):
        assert relative_coordinates(n)[n // 2] == 0


def test_intensities_are_those_of_the_modified_phantom():
    image = shepp_logan(256)
    assert image.dtype == np.float32
    # Skull 1, brain 0.2, ventricles 0, air 0 (Toft 1996, table B.3).
    assert np.unique(image.round(3)).min() == 0
    assert image.max() == 1
    assert image[128, 128] == pytest.approx(0.2, abs=1e-6)
    y, x = np.array([0, 0]), np.array([-0.22, 0.22])
    ventricles = image[(y * 128 + 128).astype(int), (x * 128 + 128).astype(int)]
    assert np.allclose(ventricles, 0, atol=1e-6)
    assert image[:2].max() == 0


def test_the_ellipses_areas():
    # The outer ellipse: π a b of a field of view of area 4.
    image = shepp_logan(512)
    assert np.mean(np.abs(image) > 1e-6) == pytest.approx(
        np.pi * 0.69 * 0.92 / 4 - np.pi * (0.11 * 0.31 + 0.16 * 0.41) / 4, rel=0.01
    )


def test_a_volume_holds_the_slice_in_its_center():
    volume = shepp_logan((16, 48, 64))
    assert volume.shape == (16, 48, 64)
    assert np.array_equal(volume[8], shepp_logan((48, 64)))
    assert volume[0].max() == 0


def test_sensitivities_fall_with_the_distance_and_can_be_normalized():
    coils = coil_sensitivities(8, 32)
    assert coils.shape == (8, 32, 32)
    assert coils.dtype == np.complex64
    # Element 0 lies at the end of x.
    assert np.all(np.diff(np.abs(coils[0, 16])) > 0)
    unit = coil_sensitivities(5, (6, 16, 16), normalize=True)
    assert unit.shape == (5, 6, 16, 16)
    assert np.allclose(np.sum(np.abs(unit) ** 2, axis=0), 1, atol=1e-5)


def test_volume_coils_encode_along_z():
    coils = coil_sensitivities(2, (8, 16, 16))
    profile = np.abs(coils[:, :, 8, 8])
    assert np.argmax(profile[0]) > np.argmax(profile[1])


@pytest.mark.parametrize("correlation", [0.0, 0.4])
def test_noise_has_the_covariance_asked_for(correlation):
    covariance = noise_covariance(6, 0.05, correlation)
    noise = NoiseSource(covariance, 3).draw(4000, 16)
    assert noise.dtype == np.complex64
    samples = noise.transpose(1, 0, 2).reshape(6, -1)
    measured = samples @ samples.conj().T / samples.shape[1]
    assert np.abs(measured - covariance).max() < 0.02 * covariance[0, 0].real
    assert np.std(samples.real) == pytest.approx(0.05, rel=0.02)


def test_equal_seeds_give_equal_noise():
    covariance = noise_covariance(2, 1)
    first = NoiseSource(covariance, 1).draw(2, 3)
    assert np.array_equal(first, NoiseSource(covariance, 1).draw(2, 3))
    assert not np.array_equal(first, NoiseSource(covariance, 2).draw(2, 3))


def test_an_impossible_covariance_is_refused():
    with pytest.raises(DataError, match="positive semidefinite"):
        NoiseSource(np.array([[1, 2], [2, 1]]), 0)
