"""SNR units."""

import math

import pytest

from elastron.recon.snr import snr_scaling


@pytest.mark.parametrize(
    ("arguments", "acceleration", "ratio"),
    [
        ((128, 128, 256, 256), 1, 1),
        ((128, 64, 256, 256), 2, math.sqrt(2)),
        ((96, 64, 100, 50), 1.5, math.sqrt(3)),
        ((10, 0, 8, 8), 1, 1),
    ],
)
def test_snr_scaling(arguments, acceleration, ratio):
    assert snr_scaling(*arguments) == pytest.approx((acceleration, ratio))
