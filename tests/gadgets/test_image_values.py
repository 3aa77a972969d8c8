"""Gadgets that turn the values of images into others."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from elastron.errors import DataError
from elastron.gadgets.auto_scale import AutoScaleGadget
from elastron.gadgets.combine import CombineGadget
from elastron.gadgets.complex_to_float import ComplexToFloatGadget
from elastron.gadgets.crop_and_combine import CropAndCombineGadget
from elastron.gadgets.float_to_fix_point import (
    FloatToIntGadget,
    FloatToShortGadget,
    FloatToUIntGadget,
    FloatToUShortGadget,
)
from elastron.mrd.image import IMAGE_HEADER, Image, ImageDataType, ImageType
from elastron.mrd.meta import Meta

from .scan_parts import noise, run


def image(data, image_type=ImageType.MAGNITUDE, **meta):
    header = np.zeros((), IMAGE_HEADER)
    header["image_type"] = image_type
    header["matrix_size"] = np.shape(data)[:0:-1]
    header["field_of_view"] = (40, 30, 5)
    header["channels"] = np.shape(data)[0]
    return Image(header, np.asarray(data), Meta({k: [v] for k, v in meta.items()}))


def floats(*values):
    return np.array(values, np.float32).reshape(1, 1, 1, -1)


def lround(x):
    """C's lround."""
    return math.trunc(x) + (math.copysign(1, x) if abs(x - math.trunc(x)) >= 0.5 else 0)


# Fixed point


@pytest.mark.parametrize(
    ("gadget", "code", "dtype"),
    [
        (FloatToUShortGadget, ImageDataType.USHORT, "<u2"),
        (FloatToShortGadget, ImageDataType.SHORT, "<i2"),
        (FloatToUIntGadget, ImageDataType.UINT, "<u4"),
        (FloatToIntGadget, ImageDataType.INT, "<i4"),
    ],
)
def test_types(gadget, code, dtype):
    (result,) = run(gadget, [image(floats(1.5, 2.5, -3.2, 0))])
    assert result.data.dtype == np.dtype(dtype)
    assert result.header["data_type"] == code
    assert result.data.ravel().tolist() == [2, 3, 3, 0]  # magnitudes, half away from zero


def test_limits_clip():
    values = floats(1e30, np.inf, 4095.4, 4095.6, -5, np.nan)
    (result,) = run(FloatToUShortGadget, [image(values)])
    assert result.data.ravel().tolist() == [4095, 4095, 4095, 4095, 5, 0]
    (result,) = run(FloatToShortGadget, [image(floats(1e30, -1e30), ImageType.REAL)])
    assert result.data.ravel().tolist() == [32767, -32768]
    properties = {"max_intensity": "2147483647", "min_intensity": "-2147483648"}
    (result,) = run(
        FloatToIntGadget, [image(floats(1e30, -1e30), ImageType.REAL)], properties=properties
    )
    assert result.data.ravel().tolist() == [2**31 - 1, -(2**31)]
    (result,) = run(
        FloatToUIntGadget, [image(floats(-1e30), ImageType.REAL)], properties=properties
    )
    assert result.data.ravel().tolist() == [0]


@given(hnp.arrays(np.float32, 20, elements=st.floats(-40000, 40000, width=32)))
@settings(deadline=None)
def test_rounding_is_that_of_c(values):
    (result,) = run(FloatToShortGadget, [image(values.reshape(1, 1, 1, -1), ImageType.REAL)])
    expected = [min(max(lround(float(v)), -32768), 32767) for v in values]
    assert result.data.ravel().tolist() == expected


def test_offsets_of_parts_and_phases():
    (real,) = run(FloatToUShortGadget, [image(floats(-3000, 0, 100), ImageType.REAL)])
    assert real.data.ravel().tolist() == [0, 2048, 2148]
    (phase,) = run(FloatToUShortGadget, [image(floats(-np.pi, 0, np.pi), ImageType.PHASE)])
    assert phase.data.ravel().tolist() == [0, 2048, 4095]


def test_the_window_centre_moves_with_the_offset():
    item = image(floats(1), ImageType.IMAG, GADGETRON_WindowCenter="100")
    (result,) = run(FloatToUShortGadget, [item])
    assert result.meta["GADGETRON_WindowCenter"] == [2148]
    assert item.meta["GADGETRON_WindowCenter"] == ["100"]
    item = image(floats(1), GADGETRON_WindowCenter="100")
    assert run(FloatToUShortGadget, [item])[0].meta == item.meta


def test_images_of_no_known_type_are_an_error_and_others_pass():
    with pytest.raises(DataError, match="image of type 5"):
        run(FloatToUShortGadget, [image(floats(1), ImageType.COMPLEX)])
    item = image(noise(1, 1, 2, 2))
    assert run(FloatToUShortGadget, [item]) == [item]


def test_limits_beyond_the_type_are_refused():
    with pytest.raises(ValidationError):
        run(FloatToUShortGadget, [], properties={"max_intensity": 65535})


# AutoScale


def reference_auto_scale(data, max_value, bins):
    """The original's loop."""
    top = np.float32(data.max())
    histogram = [0] * bins
    for d in data.ravel():
        histogram[min(int(np.floor(np.float32(d / top) * np.float32(bins))), bins - 1)] += 1
    total, counter = 0, 0
    while total < 0.99 * data.size:
        total += histogram[counter]
        counter += 1
    top = np.float32(counter + 1) * np.float32(top / np.float32(bins))
    return (data * np.float64(np.float32(max_value) / top)).astype(np.float32)


@given(st.integers(0, 1000), st.integers(1, 200))
@settings(deadline=None, max_examples=30)
def test_auto_scale_is_the_originals(seed, bins):
    data = np.random.default_rng(seed).gamma(2, size=(1, 1, 8, 16)).astype(np.float32)
    (result,) = run(
        AutoScaleGadget, [image(data)], properties={"histogram_bins": bins, "max_value": 1000}
    )
    np.testing.assert_array_equal(result.data, reference_auto_scale(data, 1000, bins))


def test_the_99th_percentile_goes_near_the_value():
    data = np.abs(noise(1, 1, 100, 100))
    (result,) = run(AutoScaleGadget, [image(data)])
    assert np.percentile(result.data, 99) == pytest.approx(2048, rel=0.05)


@pytest.mark.parametrize(
    "item",
    [
        image(floats(1, 2, 3), ImageType.PHASE),
        image(noise(1, 1, 2, 2)),
        image(floats(0, 0, 0)),
        image(floats(0, np.nan, 1)),
    ],
)
def test_auto_scale_leaves_other_images(item):
    assert run(AutoScaleGadget, [item]) == [item]


# Parts and combination


@pytest.mark.parametrize(
    ("image_type", "part"),
    [
        (ImageType.MAGNITUDE, np.abs),
        (ImageType.PHASE, np.angle),
        (ImageType.REAL, np.real),
        (ImageType.IMAG, np.imag),
    ],
)
def test_the_header_names_the_part(image_type, part):
    item = image(noise(1, 1, 3, 4), image_type)
    (result,) = run(ComplexToFloatGadget, [item])
    np.testing.assert_allclose(result.data, part(item.data), rtol=1e-6)
    assert result.data.dtype == np.float32
    assert result.header["image_type"] == image_type
    assert result.header["data_type"] == ImageDataType.FLOAT


def test_without_a_type_it_is_the_magnitude():
    item = image(noise(1, 1, 3, 4), 0)
    (result,) = run(ComplexToFloatGadget, [item])
    assert result.header["image_type"] == ImageType.MAGNITUDE
    assert run(ComplexToFloatGadget, [result]) == [result]


def test_channels_are_combined():
    data = noise(3, 2, 4, 5)
    data[:, 0, 0, 0] = 0
    (result,) = run(CombineGadget, [image(data)])
    assert result.data.shape == (1, 2, 4, 5)
    assert result.header["channels"] == 1
    power = np.abs(data) ** 2
    np.testing.assert_allclose(np.abs(result.data[0]), np.sqrt(power.sum(0)), rtol=1e-5)
    assert result.data[0, 0, 0, 0] == 0
    # The weighted mean of phases, as long as it does not wrap.
    expected = (power * np.angle(data)).sum(0)[1] / power.sum(0)[1]
    np.testing.assert_allclose(np.angle(result.data[0, 1]), expected, atol=1e-4)


def test_crop_and_combine_keeps_the_central_half():
    item = image(noise(2, 1, 4, 8))
    (result,) = run(CropAndCombineGadget, [item])
    expected = np.sqrt((np.abs(item.data[..., 2:6]) ** 2).sum(0))
    np.testing.assert_allclose(np.abs(result.data[0]), expected, rtol=1e-5)
    assert result.header["matrix_size"].tolist() == [4, 4, 1]
    assert result.header["field_of_view"].tolist() == [20, 30, 5]
    assert item.header["matrix_size"].tolist() == [8, 4, 1]


@pytest.mark.parametrize("gadget", [CombineGadget, CropAndCombineGadget])
def test_real_images_pass(gadget):
    item = image(floats(1, 2))
    assert run(gadget, [item]) == [item]
