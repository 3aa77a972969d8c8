import numpy as np
import pytest

from elastron.recon.fft import fft, ifft
from elastron.recon.filters import taper
from elastron.recon.partial_fourier import (
    SampledRange,
    filter_partial_fourier,
    homodyne,
    low_resolution_phase,
    pocs,
    zero_filling_filter,
)
from elastron.recon.phantom import shepp_logan

AXES = (-2, -1)


def truth(n=96):
    """The phantom with the smooth phase of a gradient echo."""
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    return (shepp_logan(n) * np.exp(1j * (0.8 * x - 0.6 * y**2 + 0.5 * x * y))).astype(np.complex64)


def cut(image, sampled):
    kspace = fft(image, AXES)
    for axis, part in sampled.items():
        keep = np.zeros(image.shape[axis])
        keep[part.first : part.last + 1] = 1
        kspace = kspace * keep.reshape((-1, 1) if axis == -2 else (1, -1))
    return ifft(kspace.astype(np.complex64), AXES)


def error(image, reference):
    magnitude = np.abs(image)
    scale = np.vdot(magnitude, np.abs(reference)) / np.vdot(magnitude, magnitude)
    difference = scale * magnitude - np.abs(reference)
    return np.linalg.norm(difference) / np.linalg.norm(reference)


PARTIAL = [
    {-2: SampledRange(24, 95)},
    {-2: SampledRange(0, 65)},
    {-1: SampledRange(36, 95)},
]


@pytest.mark.parametrize("sampled", PARTIAL)
def test_homodyne_and_pocs_come_nearer_to_the_truth_than_zero_filling(sampled):
    image = truth()
    zero_filled = cut(image, sampled)
    baseline = error(zero_filled, image)
    assert error(homodyne(zero_filled, sampled, AXES), image) < 0.7 * baseline
    hard = pocs(zero_filled, sampled, AXES, iterations=12, threshold=0)
    assert error(hard, image) < 0.7 * baseline
    blended = pocs(zero_filled, sampled, AXES, transition=dict.fromkeys(sampled, 8), iterations=12)
    assert error(blended, image) < 0.8 * baseline


def test_pocs_fills_two_partial_axes():
    sampled = {-2: SampledRange(20, 95), -1: SampledRange(20, 95)}
    image = truth()
    zero_filled = cut(image, sampled)
    filled = pocs(zero_filled, sampled, AXES, iterations=12, threshold=0)
    assert error(filled, image) < 0.8 * error(zero_filled, image)
    # One axis only, and still not worse than nothing.
    assert error(homodyne(zero_filled, sampled, AXES), image) < error(zero_filled, image)


def test_pocs_keeps_what_was_measured():
    sampled = {-2: SampledRange(30, 95)}
    zero_filled = cut(truth(), sampled)
    filled = pocs(zero_filled, sampled, AXES)
    assert np.allclose(fft(filled, AXES)[30:], fft(zero_filled, AXES)[30:], atol=1e-3)


def test_homodyne_of_a_real_image_is_exact():
    # No phase at all: the missing half is the conjugate of the other.
    image = shepp_logan(64).astype(np.complex64)
    sampled = {-2: SampledRange(20, 63)}
    phase = low_resolution_phase(image, sampled, AXES)
    assert np.allclose(np.abs(phase[np.abs(image) > 0.1]), 1, atol=1e-5)
    full = homodyne(cut(image, sampled), sampled, AXES)
    inside = np.abs(image) > 0.15
    assert np.allclose(np.abs(full)[inside], np.abs(image)[inside], atol=0.03)


def test_intensity_is_kept():
    sampled = {-2: SampledRange(24, 95)}
    image = truth()
    zero_filled = cut(image, sampled)
    for result in (homodyne(zero_filled, sampled, AXES), pocs(zero_filled, sampled, AXES)):
        assert np.sum(np.abs(result)) == pytest.approx(np.sum(np.abs(image)), rel=0.05)


def test_volumes_and_stacks():
    volume = np.stack([truth(32) * (i + 1) for i in range(4)])
    sampled = {-2: SampledRange(8, 31)}
    stack = np.stack([cut(plane, sampled) for plane in volume])
    assert np.allclose(
        homodyne(stack, sampled, AXES)[2], homodyne(stack[2], sampled, AXES), atol=1e-4
    )
    assert pocs(stack, sampled, (-3, -2, -1)).shape == stack.shape


@pytest.mark.parametrize(
    ("first", "last"), [(10, 63), (0, 49), (4, 55), (8, 60), (16, 47), (1, 50)]
)
def test_the_window_covers_just_what_was_sampled(first, last):
    window = zero_filling_filter(64, SampledRange(first, last))
    filled = np.flatnonzero(window > 0)
    assert (filled[0], filled[-1]) == (first, last)
    assert np.sqrt(np.sum(window**2) / (last - first + 1)) == pytest.approx(1)


def test_the_flank_lies_on_the_partial_side():
    window = zero_filling_filter(64, SampledRange(10, 63), width=0.1)
    assert np.allclose(window[10:16] / window[32], taper(6))
    assert window[63] == window[32]


def test_filtering_multiplies_kspace_along_the_partial_axis():
    image = cut(truth(64), {-2: SampledRange(16, 63)})
    window = zero_filling_filter(64, SampledRange(16, 63), width=0.2)
    result = filter_partial_fourier(image, {-2: SampledRange(16, 63)}, widths={-2: 0.2})
    assert np.allclose(fft(result, AXES), fft(image, AXES) * window[:, None], atol=1e-4)


def test_density_compensation_is_nearer_to_the_truth_than_the_plain_filter():
    sampled = {-2: SampledRange(24, 95)}
    image = np.abs(truth()).astype(np.complex64)
    zero_filled = cut(image, sampled)
    plain = filter_partial_fourier(zero_filled, sampled)
    compensated = filter_partial_fourier(zero_filled, sampled, density_compensation=True)
    assert error(np.real(compensated), image) < error(np.real(plain), image)


@pytest.mark.parametrize("method", [homodyne, pocs])
def test_another_array_namespace(method):
    strict = pytest.importorskip("array_api_strict")
    sampled = {-2: SampledRange(8, 31)}
    image = cut(truth(32), sampled)
    other = method(strict.asarray(image), sampled, AXES)
    assert np.allclose(np.asarray(other), method(image, sampled, AXES), atol=1e-4)
