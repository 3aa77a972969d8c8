import numpy as np
import pytest

from elastron.gadgets.generic_recon_image_array_scaling import (
    GenericReconImageArrayScalingGadget as Scaling,
)

from .arrays import build, context, image_array, noise


def images(maximum=1.0, n=1):
    data = np.zeros((1, 1, n, 1, 1, 4, 4), np.complex64)
    data[..., 1, 2] = maximum
    return data


def factor(item, gadget):
    (result,) = gadget.process(item)
    scale = result.meta[0].first("GADGETRON_ScaleRatio")
    assert np.allclose(result.data, item.data * scale, rtol=1e-6)
    return scale


@pytest.mark.parametrize(
    ("role", "attributes", "expected"),
    [
        ("Image", {}, 10.0),
        ("Gfactor", {}, 100.0),
        ("SNR_MAP", {}, 20.0),
        ("STD_MAP", {"Use_dedicated_scaling_factor": [1]}, 1000.0),
        ("Phase", {"Use_dedicated_scaling_factor": [1]}, 300.0),
    ],
)
def test_constant_factors_by_role(role, attributes, expected):
    gadget = build(
        Scaling,
        context(),
        scalingFactor="10.0",
        scalingFactor_snr_map=20,
        scalingFactor_dedicated=300,
    )
    item = image_array(noise(1, 1, 2, 1, 1, 4, 4), role, **attributes)
    assert factor(item, gadget) == expected


def test_the_factor_is_noted_and_the_input_left_alone():
    item = image_array(images(), GADGETRON_ImageComment=["GT"])
    (result,) = build(Scaling, context(), scalingFactor=10).process(item)
    assert result.meta[0]["GADGETRON_ImageComment"] == ["GT", "x10"]
    assert item.meta[0]["GADGETRON_ImageComment"] == ["GT"]
    assert item.data.max() == 1


@pytest.mark.parametrize(
    ("maximum", "expected"),
    [
        (100.0, 4.0),  # SNR units: the round factor,
        (1500.0, 2.0),  # halved until it fits,
        (4000.0, 1.0),
        (1e-5, 2048e5),  # else to the middle of the range
        (50.0, 2048 / 50),
        (10000.0, 0.2048),
        (0.0, 2048.0),
    ],
)
def test_automatic_factors(maximum, expected):
    gadget = build(Scaling, context(), use_constant_scalingFactor="false")
    assert factor(image_array(images(maximum)), gadget) == pytest.approx(expected)


def test_no_constant_factor_means_automatic():
    gadget = build(Scaling, context(), scalingFactor=-1)
    assert factor(image_array(images(100.0)), gadget) == 4


def test_the_automatic_factor_is_found_once():
    gadget = build(Scaling, context(), use_constant_scalingFactor=False)
    assert factor(image_array(images(50.0)), gadget) == pytest.approx(40.96)
    assert factor(image_array(images(20.0)), gadget) == pytest.approx(40.96)
    again = build(
        Scaling, context(), use_constant_scalingFactor=False, auto_scaling_only_once=False
    )
    assert factor(image_array(images(50.0)), again) == pytest.approx(40.96)
    assert factor(image_array(images(20.0)), again) == pytest.approx(102.4)


def test_the_middle_images_decide():
    data = images(50.0, n=30)
    data[:, :, 0] *= 1000
    gadget = build(Scaling, context(), use_constant_scalingFactor=False)
    assert factor(image_array(data), gadget) == pytest.approx(40.96)
