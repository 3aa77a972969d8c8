"""Zeros go where samples are missing."""

import numpy as np
import pytest

from elastron.errors import DataError
from elastron.gadgets.asymmetric_echo_adjust_ro import AsymmetricEchoAdjustROGadget
from elastron.gadgets.base import Properties
from elastron.mrd.acquisition import AcquisitionFlag
from tests.gadgets.scan_parts import batch, context, header

DATA = np.arange(1, 25).reshape(2, 1, 12)


def run(*items, encoded=16):
    gadget = AsymmetricEchoAdjustROGadget(Properties(), context(header((encoded, 8, 1))))
    return list(gadget(items))


def test_missing_samples_before_the_echo():
    (out,) = run(batch(DATA, center_sample=4))
    np.testing.assert_array_equal(out.data[..., :4], 0)
    np.testing.assert_array_equal(out.data[..., 4:], DATA)
    assert (out.headers["discard_pre"] == 4).all()
    assert (out.headers["number_of_samples"] == 16).all()
    assert (out.headers["center_sample"] == 8).all()


def test_missing_samples_after_the_echo():
    (out,) = run(batch(DATA, center_sample=8))
    np.testing.assert_array_equal(out.data[..., :12], DATA)
    assert (out.headers["discard_post"] == 4).all()


@pytest.mark.parametrize(
    "item",
    [
        batch(DATA, center_sample=6),
        batch(DATA, center_sample=12),
        batch(DATA, center_sample=4, flags=(AcquisitionFlag.IS_NOISE_MEASUREMENT,)),
        batch(np.ones((2, 1, 16)), center_sample=4),
    ],
    ids=["symmetric", "no centre", "noise", "complete"],
)
def test_others_pass_unchanged(item):
    assert run(item) == [item]


def test_mixed_batches_are_split_in_order():
    item = batch(DATA, center_sample=[4, 8])
    first, second = run(item)
    assert first.headers["discard_pre"][0] == second.headers["discard_post"][0] == 4


def test_unknown_encoding_space_is_an_error():
    with pytest.raises(DataError, match="encoding space 3"):
        run(batch(DATA, center_sample=4, encoding_space_ref=3))
