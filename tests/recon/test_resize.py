import numpy as np
import pytest

from elastron.recon.resize import adjust_field_of_view, crop_or_pad, resize_images


def smooth_images(*shape):
    """Sums of a few plane waves: they are the same on every grid."""
    grids = np.meshgrid(*[(np.arange(n) - n // 2) / n for n in shape], indexing="ij")
    wave = sum((i + 1) * grid for i, grid in enumerate(grids))
    return (2 + np.exp(2j * np.pi * wave)).astype(np.complex64)


@pytest.mark.parametrize(("n", "m"), [(4, 7), (7, 4), (5, 8), (8, 5), (6, 6)])
def test_the_center_stays_in_place(n, m):
    x = np.zeros(n)
    x[n // 2] = 1
    y = crop_or_pad(x, {0: m})
    assert y.shape == (m,)
    assert y[m // 2] == 1
    assert y.sum() == 1


def test_cuts_are_views_and_axes_may_go_either_way():
    x = np.arange(24.0).reshape(4, 6)
    assert np.shares_memory(crop_or_pad(x, {-1: 4}), x)
    mixed = crop_or_pad(x, {0: 6, 1: 4})
    assert mixed.shape == (6, 4)
    assert np.array_equal(mixed[1:5], x[:, 1:5])


@pytest.mark.parametrize("sizes", [{-2: 24, -1: 20}, {-1: 21}])
def test_zero_filling_interpolates_and_keeps_the_intensity(sizes):
    x = smooth_images(12, 16)
    shape = (sizes.get(-2, 12), sizes[-1])
    assert np.allclose(resize_images(x, sizes), smooth_images(*shape), atol=1e-4)


def test_zero_filling_a_volume_keeps_the_intensity():
    x = smooth_images(6, 8, 8)
    assert np.allclose(resize_images(x, {-2: 16, -1: 16}), smooth_images(6, 16, 16), atol=1e-4)


@pytest.mark.parametrize("size", [16, 64])
def test_noise_keeps_its_standard_deviation(size):
    random = np.random.default_rng(1)
    noise = random.standard_normal((200, 32, 2)).astype(np.float32).view(np.complex64)[..., 0]
    assert np.std(resize_images(noise, {1: size})) == pytest.approx(np.std(noise), rel=0.03)


def test_no_change_costs_nothing():
    x = smooth_images(8, 8)
    assert resize_images(x, {0: 8, 1: 8}) is x
    y = adjust_field_of_view(
        x[None], encoded_fov=(300, 300, 5), recon_fov=(300, 300, 5), recon_matrix=(8, 8, 1)
    )
    assert np.shares_memory(x, y)


def test_phase_oversampling_is_cut_after_interpolation():
    x = smooth_images(1, 12, 8)
    y = adjust_field_of_view(
        x, encoded_fov=(200, 300, 5), recon_fov=(200, 200, 5), recon_matrix=(16, 16, 1)
    )
    assert y.shape == (1, 16, 16)
    assert np.allclose(y, smooth_images(1, 24, 16)[:, 4:20], atol=1e-4)


def test_slice_oversampling_of_a_volume():
    x = smooth_images(12, 8, 8)
    y = adjust_field_of_view(
        x, encoded_fov=(200, 200, 120), recon_fov=(200, 200, 100), recon_matrix=(8, 8, 10)
    )
    assert np.allclose(y, x[1:11], atol=1e-5)


def test_a_wider_field_of_view_is_filled_with_air():
    x = smooth_images(1, 8, 8)
    y = adjust_field_of_view(
        x, encoded_fov=(200, 160, 5), recon_fov=(200, 200, 5), recon_matrix=(8, 10, 1)
    )
    assert y.shape == (1, 10, 8)
    assert np.allclose(y[:, 1:9], x, atol=1e-5)
    assert not y[:, [0, 9]].any()


def test_slices_are_not_resized_along_z():
    x = smooth_images(1, 8, 8)
    y = adjust_field_of_view(
        x, encoded_fov=(200, 200, 5), recon_fov=(200, 200, 3), recon_matrix=(8, 8, 4)
    )
    assert y.shape == (1, 8, 8)


def test_another_array_namespace():
    strict = pytest.importorskip("array_api_strict")
    x = strict.asarray(smooth_images(6, 8))
    y = resize_images(x, {0: 4, 1: 12})
    assert np.allclose(np.asarray(y), resize_images(smooth_images(6, 8), {0: 4, 1: 12}), atol=1e-5)
