"""Coil reduction and principal-component channels."""

import numpy as np
import pytest
from ismrmrd import xsd

from elastron.errors import ConfigError, DataError
from elastron.gadgets.base import Context
from elastron.gadgets.coil_reduction import CoilReductionGadget, CoilReductionProperties
from elastron.gadgets.pca_coil import PCACoilGadget, PCACoilProperties
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag


def header(names: list[str]) -> xsd.ismrmrdHeader:
    labels = [xsd.coilLabelType(coilNumber=i, coilName=name) for i, name in enumerate(names)]
    return xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(coilLabel=labels),
    )


def batch(n: int, channels: int = 4, samples: int = 32, *, slice_: int = 0) -> AcquisitionBatch:
    rng = np.random.default_rng(n)
    headers = np.zeros(n, ACQUISITION_HEADER)
    headers["number_of_samples"] = samples
    headers["active_channels"] = channels
    headers["center_sample"] = samples // 2
    headers["idx"]["slice"] = slice_
    headers["scan_counter"] = np.arange(n)
    data = rng.standard_normal((n, channels, samples, 2), dtype=np.float32)
    data *= np.array([1, 5, 2, 0.1], np.float32)[:channels, None, None]
    return AcquisitionBatch(headers, data.view(np.complex64)[..., 0])


def reduce_coils(item: AcquisitionBatch, **properties: object) -> AcquisitionBatch:
    gadget = CoilReductionGadget(CoilReductionProperties(**properties), Context(header([])))
    (reduced,) = gadget([item])
    assert isinstance(reduced, AcquisitionBatch)
    return reduced


@pytest.mark.parametrize("mask", ["1 0 0 1", "1001", " 1 0 0 1 0 0 "])
def test_mask_keeps_the_channels_it_names(mask):
    item = batch(3)
    reduced = reduce_coils(item, coil_mask=mask)
    np.testing.assert_array_equal(reduced.data, item.data[:, [0, 3]])
    assert (reduced.headers["active_channels"] == 2).all()
    assert (item.headers["active_channels"] == 4).all()


def test_number_keeps_the_first_channels_and_never_adds_any():
    item = batch(3)
    np.testing.assert_array_equal(reduce_coils(item, coils_out=2).data, item.data[:, :2])
    assert reduce_coils(item, coils_out=16) is item


def test_reduction_to_nothing_is_an_error_that_says_so():
    with pytest.raises(ConfigError, match="coil_mask"):
        reduce_coils(batch(1), coil_mask="0 0 0 0")
    with pytest.raises(DataError, match="4 channels"):
        reduce_coils(batch(1), coil_mask="0 0 0 0 1")


def rotate(items, names=(), **properties):
    gadget = PCACoilGadget(PCACoilProperties(**properties), Context(header(list(names))))
    return list(gadget(items))


def joined(batches):
    return np.concatenate([b.data for b in batches]), np.concatenate(
        [b.headers["scan_counter"] for b in batches]
    )


def test_rotation_keeps_energy_and_order_and_puts_strong_channels_first():
    item = batch(250)
    data, counters = joined(rotate([item.select(slice(0, 70)), item.select(slice(70, None))]))
    np.testing.assert_array_equal(counters, np.arange(250))
    energy = (np.abs(data) ** 2).sum(axis=1)
    np.testing.assert_allclose(energy, (np.abs(item.data) ** 2).sum(axis=1), rtol=1e-4)
    by_channel = (np.abs(data) ** 2).mean(axis=(0, 2))
    assert (np.diff(by_channel) < 0).all()


def test_result_does_not_depend_on_how_readouts_are_batched():
    item = batch(250)
    whole, _ = joined(rotate([item]))
    single, _ = joined(rotate([item.select(slice(i, i + 1)) for i in range(250)]))
    np.testing.assert_allclose(single, whole, atol=1e-5)


def test_last_in_slice_ends_the_waiting_and_slices_have_rotations_of_their_own():
    first, second = batch(20), batch(30, slice_=1)
    first.headers["flags"][-1] |= AcquisitionFlag.LAST_IN_SLICE.mask
    out = rotate([first, second])
    assert [len(b) for b in out] == [20, 30]
    assert [int(b.headers["idx"]["slice"][0]) for b in out] == [0, 1]


def test_noise_is_dropped_and_uncombined_channels_stay_first():
    item = batch(40)
    item.headers["flags"][:5] |= AcquisitionFlag.IS_NOISE_MEASUREMENT.mask
    data, counters = joined(
        rotate([item], names=["A", "B", "C", "D"], uncombined_channels_by_name="C, D")
    )
    assert len(counters) == 35
    np.testing.assert_allclose(data[:, :2], item.data[5:, 2:], rtol=1e-6)
