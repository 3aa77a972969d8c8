import pytest

from elastron.errors import DataError
from elastron.gadgets.image_array_attributes import (
    data_role,
    encoding_space,
    extent_mm,
    sampling_limits,
)
from elastron.mrd.buffers import ImageArray, SamplingLimit

from .arrays import image_array, noise


def test_limits_by_axis():
    array = image_array(
        noise(1, 1, 1, 1, 4, 8, 16),
        sampling_limits_RO=["3", "8", "15"],  # as read from XML
        sampling_limits_E1=[2, 4, 7],
    )
    assert sampling_limits(array) == {
        -1: SamplingLimit(3, 8, 15),
        -2: SamplingLimit(2, 4, 7),
        -3: SamplingLimit(0, 2, 3),
    }


def test_limits_that_do_not_fit_mean_fully_sampled():
    array = image_array(noise(1, 1, 1, 1, 1, 8, 8), sampling_limits_E1=[2, 4, 8])
    assert sampling_limits(array) == {-1: SamplingLimit(0, 4, 7), -2: SamplingLimit(0, 4, 7)}


def test_absent_attributes():
    array = ImageArray(
        noise(1, 1, 1, 1, 1, 8, 8), image_array(noise(1, 1, 1, 1, 1, 1, 1)).headers, []
    )
    assert encoding_space(array, 1) == 0
    assert data_role(array) == ""
    assert extent_mm(array, "recon_FOV") is None


def test_an_unknown_encoding_space_is_an_error():
    array = image_array(noise(1, 1, 1, 1, 1, 4, 4), encoding=[2])
    with pytest.raises(DataError, match="encoding space 2"):
        encoding_space(array, 2)


def test_attributes_that_are_no_numbers_are_errors():
    array = image_array(noise(1, 1, 1, 1, 1, 4, 4), recon_FOV=["a", "b", "c"])
    with pytest.raises(DataError, match="recon_FOV"):
        extent_mm(array, "recon_FOV")
