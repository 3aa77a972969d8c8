import numpy as np
import pytest
from pydantic import ValidationError

from elastron.gadgets.generic_recon_k_space_filtering import (
    GenericReconKSpaceFilteringGadget as Filtering,
)
from elastron.recon.fft import fft
from elastron.recon.filters import FilterType, sampled_filter, symmetric_filter

from .arrays import build, context, image_array, noise


def filtered(item, **properties):
    (result,) = build(Filtering, context(), **properties).process(item)
    return result


def test_the_defaults_are_gaussians():
    item = image_array(noise(1, 1, 2, 1, 1, 24, 32))
    result = filtered(item)
    window = np.outer(
        symmetric_filter(24, FilterType.GAUSSIAN, sigma=1),
        symmetric_filter(32, FilterType.GAUSSIAN, sigma=1),
    )
    assert np.allclose(fft(result.data, (-2, -1)), fft(item.data, (-2, -1)) * window, atol=1e-4)


def test_each_axis_has_its_own_filter():
    item = image_array(noise(1, 1, 1, 1, 16, 24, 32), sampling_limits_E1=[6, 12, 23])
    result = filtered(
        item,
        filterRO="none",
        filterE1="Hanning",
        filterE2="TaperedHanning",
        filterE2_width=0.25,
    )
    hanning = sampled_filter(24, 6, 23, FilterType.HANNING)
    tapered = symmetric_filter(16, FilterType.TAPERED_HANNING, width=4)
    expected = fft(item.data, (-3, -2)) * tapered[:, None, None] * hanning[:, None]
    assert np.allclose(fft(result.data, (-3, -2)), expected, atol=1e-4)


def test_noise_keeps_its_level():
    item = image_array(noise(1, 1, 8, 1, 1, 64, 64))
    assert np.std(filtered(item).data) == pytest.approx(np.std(item.data), rel=0.01)


def test_nothing_to_filter_changes_nothing():
    item = image_array(noise(1, 1, 1, 1, 1, 8, 8))
    result = filtered(item, filterRO="None", filterE1="None", filterE2="None")
    assert result.data is item.data


def test_marked_images_pass_by():
    item = image_array(noise(1, 1, 1, 1, 1, 8, 8), Skip_processing_after_recon=[1])
    assert filtered(item) is item


def test_an_unknown_filter_is_refused():
    with pytest.raises(ValidationError, match="filterE1"):
        build(Filtering, context(), filterE1="Hamming")
