import numpy as np
import pytest

from elastron.gadgets.generic_recon_partial_fourier_handling import is_partial
from elastron.gadgets.generic_recon_partial_fourier_handling_filter import (
    GenericReconPartialFourierHandlingFilterGadget as FilterGadget,
)
from elastron.gadgets.generic_recon_partial_fourier_handling_homodyne import (
    GenericReconPartialFourierHandlingHomodyneGadget as HomodyneGadget,
)
from elastron.gadgets.generic_recon_partial_fourier_handling_pocs import (
    GenericReconPartialFourierHandlingPOCSGadget as POCSGadget,
)
from elastron.mrd.buffers import ImageArray, SamplingLimit
from elastron.recon.fft import fft, ifft
from elastron.recon.partial_fourier import SampledRange, zero_filling_filter
from elastron.recon.phantom import shepp_logan

from .arrays import build, context, image_array

GADGETS = [FilterGadget, POCSGadget, HomodyneGadget]


def truth(n=64):
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    return (shepp_logan(n) * np.exp(0.7j * (x + y * y))).astype(np.complex64)


def partial(first=16, n=64, **attributes) -> ImageArray:
    """The truth twice (N = 2), its first lines missing."""
    kspace = fft(truth(n), (0, 1))
    kspace[:first] = 0
    image = ifft(kspace, (0, 1))
    return image_array(
        np.stack([image, image * 2])[None, None, :, None, None],
        sampling_limits_E1=[first, n // 2, n - 1],
        **attributes,
    )


def error(image: np.ndarray) -> float:
    expected = np.abs(truth(len(image)))
    magnitude = np.abs(image)
    magnitude = magnitude * np.vdot(magnitude, expected) / np.vdot(magnitude, magnitude)
    return float(np.linalg.norm(magnitude - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("gadget", GADGETS)
def test_images_are_completed_and_the_input_left_alone(gadget):
    item = partial()
    before = item.data.copy()
    (result,) = build(gadget, context(matrix=64)).process(item)
    assert result.data.shape == item.data.shape
    assert result.data.dtype == np.complex64
    assert np.array_equal(item.data, before)
    assert not np.allclose(result.data, before, rtol=1e-3, atol=1e-3)
    assert np.allclose(result.data[0, 0, 1], 2 * result.data[0, 0, 0], atol=1e-4)
    assert result.meta == item.meta


@pytest.mark.parametrize("gadget", [POCSGadget, HomodyneGadget])
def test_estimates_beat_zero_filling(gadget):
    item = partial()
    (result,) = build(gadget, context(matrix=64)).process(item)
    assert error(result.data[0, 0, 0, 0, 0]) < 0.8 * error(item.data[0, 0, 0, 0, 0])


@pytest.mark.parametrize("gadget", GADGETS)
def test_full_and_marked_images_pass_by(gadget):
    built = build(gadget, context(matrix=64))
    full = image_array(truth()[None, None, None, None, None], sampling_limits_E1=[0, 32, 63])
    assert list(built.process(full)) == [full]
    marked = partial(Skip_processing_after_recon=[1])
    assert list(built.process(marked)) == [marked]


def test_the_filter_is_the_window_of_the_properties():
    item = partial(first=20)
    built = build(FilterGadget, context(matrix=64), partial_fourier_filter_E1_width=0.3)
    (result,) = built.process(item)
    window = zero_filling_filter(64, SampledRange(20, 63), width=0.3)
    expected = fft(item.data, (-2,)) * window[:, None]
    assert np.allclose(fft(result.data, (-2,)), expected, atol=1e-4)


def test_the_mark_can_be_renamed():
    built = build(FilterGadget, context(matrix=64), skip_processing_meta_field="LeaveMe")
    marked = partial(LeaveMe=["yes"])
    assert list(built.process(marked)) == [marked]


@pytest.mark.parametrize(
    ("limit", "n", "axis", "acceleration", "expected"),
    [
        ((0, 32, 63), 64, -2, (1, 1), False),
        ((16, 32, 63), 64, -2, (1, 1), True),
        ((0, 32, 50), 64, -2, (1, 1), True),
        # Lower resolution, not partial Fourier: both ends are missing alike.
        ((8, 32, 55), 64, -2, (1, 1), False),
        # The last line of an accelerated scan is not on the grid.
        ((0, 32, 62), 64, -2, (2, 1), False),
        ((0, 32, 60), 64, -2, (2, 1), True),
        ((0, 16, 29), 32, -3, (1, 4), False),
        # Along the readout every missing sample counts.
        ((1, 32, 63), 64, -1, (1, 1), True),
        ((8, 32, 55), 64, -1, (1, 1), True),
    ],
)
def test_what_counts_as_partial(limit, n, axis, acceleration, expected):
    assert is_partial(SamplingLimit(*limit), n, axis, acceleration) is expected


def test_asymmetric_echo_and_partial_partitions():
    volume = np.stack([truth(32)] * 16)[None, None, None, None]
    item = image_array(volume, sampling_limits_RO=[8, 16, 31], sampling_limits_E2=[4, 8, 15])
    (result,) = build(FilterGadget, context(matrix=32, partitions=16)).process(item)
    kspace = fft(result.data, (-3, -2, -1))
    assert np.abs(kspace[..., :8]).max() < 1e-4
    assert np.abs(kspace[..., :4, :, :]).max() < 1e-4
