"""GRAPPA against dense linear algebra, against truth, and its g-factor against noise."""

from itertools import product

import numpy as np
import pytest

from elastron.errors import DataError
from elastron.recon.fft import fft, ifft
from elastron.recon.grappa import (
    GrappaSettings,
    calibrate,
    g_factor,
    source_positions,
    unmix,
    unmixing_coefficients,
)
from elastron.recon.phantom import coil_sensitivities, shepp_logan


def noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def phantom(matrix, coils=8):
    """Unit-norm sensitivities (coils, z, y, x), image (z, y, x), k-space (coils, E2, E1, RO)."""
    maps = coil_sensitivities(coils, matrix, normalize=True)
    image = shepp_logan(matrix)
    if isinstance(matrix, int):
        maps, image = maps[:, None], image[None]
    axes = (2, 3) if isinstance(matrix, int) else (1, 2, 3)
    return maps, image, fft(maps * image, axes), axes


def center(n, size):
    return slice(n // 2 - size // 2, n // 2 - size // 2 + size)


@pytest.mark.parametrize(
    ("points", "acceleration", "expected"),
    [
        (4, 2, [-2, 0, 2, 4]),
        (3, 2, [-2, 0, 2]),
        (2, 3, [0, 3]),
        (1, 4, [0]),
        (5, 1, [-2, -1, 0, 1, 2]),
    ],
)
def test_source_positions(points, acceleration, expected):
    assert source_positions(points, acceleration).tolist() == expected


def dense_kernel(reference, n_targets, settings):
    """Equations row by row: the kernel of every target point, by explicit least squares."""
    _, n2, n1, n0 = reference.shape
    half = settings.kernel[0] // 2
    r1, r2 = settings.acceleration
    k1 = source_positions(settings.kernel[1], r1)
    k2 = np.array([0]) if n2 == 1 else source_positions(settings.kernel[2], r2)
    origins = product(
        range(-k2[0], n2 - k2[-1]), range(-k1[0], n1 - k1[-1]), range(half, n0 - half)
    )
    origins = list(origins)
    a = np.array(
        [
            [
                reference[c, z + dz, y + dy, x + dx]
                for dx in range(-half, half + 1)
                for dz in k2
                for dy in k1
                for c in range(reference.shape[0])
            ]
            for z, y, x in origins
        ],
        np.complex128,
    )
    normal = a.conj().T @ a
    normal += settings.regularization * np.trace(normal).real / len(normal) * np.eye(len(normal))
    targets = list(product(range(1 if n2 == 1 else r2), range(r1)))
    result = {}
    for oz, oy in targets if settings.fit_sampled else targets[1:]:
        b = np.array([reference[:n_targets, z + oz, y + oy, x] for z, y, x in origins])
        w = np.linalg.solve(normal, a.conj().T @ b)
        shape = (2 * half + 1, len(k2), len(k1), reference.shape[0], n_targets)
        for (i, dx), (j, dz), (k, dy) in product(
            enumerate(range(-half, half + 1)), enumerate(k2), enumerate(k1)
        ):
            result[oz - dz, oy - dy, -dx] = w.reshape(shape)[i, j, k].T
    return result


@pytest.mark.parametrize("fit_sampled", [True, False])
@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((3, 1, 14, 16), {"acceleration": (2, 1)}),
        ((2, 1, 16, 12), {"acceleration": (3, 1), "kernel": (3, 3, 1)}),
        ((2, 1, 9, 11), {"acceleration": (2, 1), "kernel": (1, 2, 1)}),
        ((2, 7, 8, 9), {"acceleration": (2, 2), "kernel": (3, 2, 2), "over_determination": 0}),
        ((2, 8, 7, 9), {"acceleration": (1, 2), "kernel": (3, 2, 3), "over_determination": 0}),
    ],
)
def test_kernel_solves_the_regularized_least_squares_problem(shape, settings, fit_sampled):
    reference = noise(shape)
    settings = GrappaSettings(**settings, fit_sampled=fit_sampled, regularization=0.01)
    n_targets = 2 if fit_sampled else shape[0]
    kernel = calibrate(reference, n_targets, settings)
    expected = dense_kernel(reference, n_targets, settings)
    taps = np.asarray(kernel.taps)
    for i2, i1, i0 in np.ndindex(*taps.shape[1:4]):
        displacement = tuple(int(o[i]) for o, i in zip(kernel.offsets, (i2, i1, i0), strict=True))
        identity = np.eye(n_targets, shape[0]) if displacement == (0, 0, 0) else 0
        wanted = expected.get(displacement, identity)
        np.testing.assert_allclose(taps[:, i2, i1, i0], wanted, atol=2e-5)


def test_long_readouts_are_cut_around_the_strongest_sample():
    """With a few equations per unknown the kernel comes from the middle of the readout only."""
    reference = noise((2, 8, 8, 200)) * np.where(abs(np.arange(200) - 120) < 12, 1, 1e-3)
    settings = {"acceleration": (2, 2), "kernel": (3, 2, 2), "regularization": 0.01}
    rows_per_sample = 6 * 6
    width = int(np.ceil(4 * 2 * 3 * 2 * 2)) // rows_per_sample
    profile = np.abs(reference[0].sum(axis=(0, 1)))
    start = int(profile.argmax()) - width // 2
    cut = calibrate(reference[..., start - 1 : start + width + 1], 1, GrappaSettings(**settings))
    kernel = calibrate(reference, 1, GrappaSettings(**settings, over_determination=4))
    np.testing.assert_allclose(kernel.taps, cut.taps, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 13, 16), (3, 6, 8, 10)])
def test_unmixing_is_convolution_in_k_space_then_coil_combination(shape):
    """The image-domain kernel does what the kernel does in (periodic) k-space."""
    reference = noise((3, *(max(n, 9) if n > 1 else 1 for n in shape[1:])), 1)
    kernel = calibrate(
        reference, 2, GrappaSettings((2, 2 if shape[1] > 1 else 1), kernel=(3, 2, 2))
    )
    kspace, coil_map = noise(shape, 2), noise((2, *shape[1:]), 3)
    full = np.zeros((2, *shape[1:]), np.complex64)
    for i2, i1, i0 in np.ndindex(*kernel.taps.shape[1:4]):
        shift = [int(o[i]) for o, i in zip(kernel.offsets, (i2, i1, i0), strict=True)]
        moved = np.roll(kspace, shift, (1, 2, 3))
        full += np.einsum("ds,szyx->dzyx", kernel.taps[:, i2, i1, i0], moved)
    expected = np.sum(coil_map.conj() * ifft(full, (1, 2, 3)), axis=0)
    unmixing = unmixing_coefficients(kernel, coil_map)
    image = unmix(ifft(kspace, (1, 2, 3)), unmixing)
    np.testing.assert_allclose(image, expected, atol=1e-4 * np.abs(expected).max())


def accelerated(matrix, acceleration, lines, *, coils=8, n_targets=None, regularization=1e-6):
    """Truth and reconstruction of noise-free undersampled data, with known coil maps."""
    maps, image, kspace, axes = phantom(matrix, coils)
    _, n2, n1, _ = kspace.shape
    acs = kspace[:, center(n2, lines) if n2 > 1 else slice(None), center(n1, lines)]
    kernel = calibrate(
        acs, n_targets or coils, GrappaSettings(acceleration, regularization=regularization)
    )
    under = np.zeros_like(kspace)
    under[:, :: acceleration[1], :: acceleration[0]] = kspace[
        :, :: acceleration[1], :: acceleration[0]
    ]
    unmixing = unmixing_coefficients(kernel, maps[: n_targets or coils])
    return image, unmix(ifft(under, axes), unmixing), unmixing, kernel


def relative(a, b):
    return np.linalg.norm(np.abs(a) - np.abs(b)) / np.linalg.norm(b)


@pytest.mark.parametrize(("r1", "limit"), [(1, 1e-3), (2, 0.01), (3, 0.03)])
def test_two_dimensional_reconstruction_is_near_the_truth(r1, limit):
    image, result, _, _ = accelerated(96, (r1, 1), 28)
    assert relative(result, image) < limit


@pytest.mark.parametrize("acceleration", [(2, 1), (1, 2), (2, 2), (3, 2)])
def test_three_dimensional_reconstruction_is_near_the_truth(acceleration):
    image, result, _, _ = accelerated((32, 48, 48), acceleration, 18, coils=12)
    assert relative(result, image) < (0.05 if acceleration == (3, 2) else 0.02)


def test_g_factor_is_the_noise_amplification_of_the_reconstruction():
    acceleration = (3, 1)
    _, _, unmixing, kernel = accelerated(64, acceleration, 24, regularization=5e-4)
    g = g_factor(unmixing, kernel.acceleration)
    assert g.dtype == np.float32
    replicas = []
    for seed in range(200):
        kspace = np.zeros((8, 1, 64, 64), np.complex64)
        kspace[:, :, ::3] = noise((8, 1, 22, 64), seed) / np.sqrt(2)
        replicas.append(unmix(ifft(kspace, (2, 3)), unmixing))
    # Zero filling to R times the lines lowers the noise by sqrt(R); the coefficients raise the
    # signal by R: in the end g sqrt(R) is what parallel imaging costs.
    measured = np.std(replicas, axis=0) * np.sqrt(64 / 22) / 3
    ratio = measured / g
    assert abs(ratio.mean() - 1) < 0.01
    assert ratio.std() < 0.08


def test_fewer_targets_than_sources():
    _, result, unmixing, _ = accelerated(64, (2, 1), 24, n_targets=3)
    assert unmixing.shape == (8, 1, 64, 64)
    assert np.isfinite(result).all()


def test_other_array_namespaces():
    xp = pytest.importorskip("array_api_strict")
    reference = noise((2, 1, 12, 12))
    settings = GrappaSettings((2, 1), kernel=(3, 2, 1))
    kernel = calibrate(reference, 2, settings)
    coil_map = noise((2, 1, 12, 10), 1)
    unmixing = unmixing_coefficients(kernel, coil_map)

    strict = calibrate(xp.asarray(reference), 2, settings)
    other = unmixing_coefficients(strict, xp.asarray(coil_map))
    image = unmix(xp.asarray(noise((2, 1, 12, 10), 2)), other)
    np.testing.assert_allclose(np.asarray(other), unmixing, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(image), unmix(noise((2, 1, 12, 10), 2), unmixing), atol=1e-5
    )
    np.testing.assert_allclose(np.asarray(g_factor(other, 2)), g_factor(unmixing, 2), atol=1e-5)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (noise((2, 1, 5, 16)), "more calibration lines"),
        (noise((2, 1, 16, 3)), "16 x 1 samples"),
        (np.zeros((2, 1, 16, 16), np.complex64), "empty"),
        (np.full((2, 1, 16, 16), np.nan, np.complex64), "not finite"),
    ],
)
def test_unusable_calibration_data(reference, message):
    with pytest.raises(DataError, match=message):
        calibrate(reference, 2, GrappaSettings((2, 1)))


def test_degenerate_calibration_data_without_regularization():
    reference = np.ones((2, 1, 16, 16), np.complex64)
    with pytest.raises(DataError, match="degenerate"):
        calibrate(reference, 2, GrappaSettings((2, 1), regularization=0))
