"""Calibration data as the reconstruction gets it."""

import numpy as np
import pytest

from elastron.errors import ConfigError
from elastron.gadgets.generic_recon_cartesian_reference_prep import (
    GenericReconCartesianReferencePrepGadget,
)
from elastron.mrd.acquisition import ReadoutDomain
from elastron.mrd.buffers import SamplingLimit

from .grappa_scan import Calibration, settings, sorted_kspace
from .scan_parts import header as mrd_header
from .scan_parts import make


def prepared(scan, *, hybrid=False, n="repetition", **properties):
    """(bit before, bit after) of the scan's first data."""
    header, items = sorted_kspace(scan, hybrid=hybrid, buffer={"N_dimension": n})
    gadget = make(GenericReconCartesianReferencePrepGadget, header, properties=properties)
    data = next(iter(items))
    before = data.bits[0]
    (after,) = gadget.process(data)
    return before, after.bits[0]


@pytest.mark.parametrize("calibration", [Calibration.EMBEDDED, Calibration.SEPARATE])
@pytest.mark.parametrize("hybrid", [False, True])
def test_calibration_lines_are_cropped_and_centred(calibration, hybrid):
    scan = settings(acceleration=(2, 1), calibration=calibration, calibration_lines=20)
    before, after = prepared(scan, hybrid=hybrid)
    reference = after.reference
    assert reference.readout_domain is ReadoutDomain.KSPACE
    assert reference.data.shape == (1, 1, 1, 8, 1, 20, 64)
    assert reference.headers.shape == (1, 1, 1, 1, 20)
    assert reference.sampling.limits == (
        SamplingLimit(0, 32, 63),
        SamplingLimit(0, 10, 19),
        SamplingLimit(0, 0, 0),
    )
    assert after.data is before.data
    assert reference.data.flags.c_contiguous


def test_hybrid_references_are_those_of_k_space():
    scan = settings(acceleration=(2, 1))
    _, plain = prepared(scan)
    _, hybrid = prepared(scan, hybrid=True)
    assert hybrid.data.readout_domain is ReadoutDomain.IMAGE
    np.testing.assert_allclose(hybrid.reference.data, plain.reference.data, atol=1e-5)


def test_volumes():
    scan = settings(matrix=32, partitions=20, acceleration=(2, 2), calibration_lines=12)
    _, after = prepared(scan)
    assert after.reference.data.shape == (1, 1, 1, 8, 12, 12, 32)
    assert after.reference.sampling.limits[2] == SamplingLimit(0, 6, 11)


def test_data_without_acceleration_is_its_own_reference():
    before, after = prepared(settings(acceleration=(1, 1)))
    np.testing.assert_array_equal(after.reference.data, before.data.data)
    assert after.reference.sampling.limits[1] == SamplingLimit(0, 32, 63)


@pytest.mark.parametrize("hybrid", [False, True])
def test_whole_data_is_shared_as_it_stands(hybrid):
    before, after = prepared(settings(), hybrid=hybrid, n="contrast")
    assert after.reference.data is before.data.data
    assert after.reference.readout_domain is before.data.readout_domain
    # An average is not: two repetitions along N.
    before, after = prepared(settings(repetitions=2), hybrid=hybrid)
    assert after.reference.data.shape[2] == 1
    assert after.reference.readout_domain is ReadoutDomain.KSPACE


def test_interleaved_data_is_averaged_line_by_line():
    scan = settings(
        acceleration=(3, 1), calibration=Calibration.INTERLEAVED, calibration_lines=0,
        repetitions=4, noise_level=0.0,
    )  # fmt: skip
    before, after = prepared(scan)
    full, _ = prepared(settings(acceleration=(1, 1), noise_level=0.0))
    assert before.data.data.shape[2] == 4
    np.testing.assert_allclose(after.reference.data, full.data.data, atol=1e-5)


def test_n_and_s_can_be_picked():
    scan = settings(acceleration=(2, 1), repetitions=3)
    before, after = prepared(scan, N_for_ref="1")
    lines = slice(22, 42)
    np.testing.assert_array_equal(
        after.reference.data[:, :, 0], before.reference.data[:, :, 1, :, :, lines]
    )
    _, averaged = prepared(scan, N_for_ref="7")
    np.testing.assert_allclose(
        averaged.reference.data[:, :, 0],
        before.reference.data[..., lines, :].mean(axis=2),
        atol=1e-6,
    )
    _, each = prepared(scan, average_all_ref_N="false")
    assert each.reference.data.shape[2] == 3
    _, picked = prepared(scan, n="contrast", S_for_ref="0")
    assert picked.reference.data.shape[:3] == (1, 1, 1)


def test_embedded_lines_can_be_filled_into_the_data():
    scan = settings(acceleration=(2, 1), calibration_lines=20)
    before, _ = prepared(scan)
    _, after = prepared(scan, ref_fill_into_data_embedded="true")
    sampled = after.data.headers["number_of_samples"][0, 0, 0, 0] > 0
    assert sampled.sum() == 32 + 10
    np.testing.assert_array_equal(
        after.data.data[..., 22:42, :], before.reference.data[..., 22:42, :]
    )


def test_references_are_prepared_once_if_so_wished():
    scan = settings(acceleration=(2, 1), repetitions=2, slices=2)
    header, items = sorted_kspace(scan, buffer={"split_slices": "true"})
    gadget = make(
        GenericReconCartesianReferencePrepGadget,
        header,
        properties={"prepare_ref_always": "false"},
    )
    found = [
        (int(data.bits[0].data.headers["idx"]["slice"].max()), data.bits[0].reference is not None)
        for data in gadget(items)
    ]
    assert sorted(found) == [(0, False), (0, True), (1, False), (1, True)]


def test_accelerated_data_without_lines_keeps_no_reference():
    scan = settings(acceleration=(2, 1), calibration=Calibration.SEPARATE, repetitions=2)
    header, items = sorted_kspace(scan)
    gadget = make(GenericReconCartesianReferencePrepGadget, header)
    assert [data.bits[0].reference is not None for data in gadget(items)] == [True, False]


def test_headers_without_system_information():
    with pytest.raises(ConfigError, match="acquisitionSystemInformation"):
        make(GenericReconCartesianReferencePrepGadget, mrd_header())
