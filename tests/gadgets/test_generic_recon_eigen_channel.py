"""Coil compression of sorted k-space."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from elastron.gadgets.generic_recon_cartesian_reference_prep import (
    GenericReconCartesianReferencePrepGadget,
)
from elastron.gadgets.generic_recon_eigen_channel import GenericReconEigenChannelGadget
from elastron.mrd.buffers import ReconBit, ReconData

from .grappa_scan import Calibration, settings, sorted_kspace
from .scan_parts import make


def compressed(scan, *, hybrid=False, prepare=True, buffer=None, **properties):
    """[(bit before, bit after)] of the whole scan."""
    header, items = sorted_kspace(scan, hybrid=hybrid, buffer=buffer)
    if prepare:
        items = make(GenericReconCartesianReferencePrepGadget, header)(items)
    gadget = make(GenericReconEigenChannelGadget, header, properties=properties)
    # Copies: the gadget reuses the memory of what it is given.
    return [(deepcopy(data).bits[0], next(iter(gadget.process(data))).bits[0]) for data in items]


def energies(data):
    return np.linalg.norm(np.moveaxis(data, 3, 0).reshape(data.shape[3], -1), axis=1) ** 2


@pytest.mark.parametrize("hybrid", [False, True])
def test_channels_are_rotated_not_lost(hybrid):
    ((before, after),) = compressed(settings(acceleration=(2, 1)), hybrid=hybrid)
    assert after.data.data.shape == before.data.data.shape
    for old, new in ((before.data, after.data), (before.reference, after.reference)):
        np.testing.assert_allclose(
            np.linalg.norm(new.data, axis=3), np.linalg.norm(old.data, axis=3), atol=1e-5
        )
    found = energies(after.reference.data)
    assert (np.diff(found) < 1e-3 * found[0]).all()
    assert after.data.readout_domain is before.data.readout_domain


@pytest.mark.parametrize(
    ("properties", "kept"),
    [
        ({"upstream_coil_compression_num_modesKept": "3"}, 3),
        ({"upstream_coil_compression_thres": "0.05"}, None),
        ({"upstream_coil_compression_thres": "-1"}, 8),
    ],
)
def test_channels_kept(properties, kept):
    ((_, after),) = compressed(settings(acceleration=(2, 1)), **properties)
    channels = after.data.data.shape[3]
    assert after.reference.data.shape[3] == channels
    if kept is None:
        assert 1 < channels < 8
    else:
        assert channels == kept


def test_the_hybrid_domain_makes_no_difference():
    scan = settings(acceleration=(1, 1))
    keep = {"upstream_coil_compression_num_modesKept": "2", "prepare": False}
    ((_, plain),) = compressed(scan, **keep)
    ((_, hybrid),) = compressed(scan, hybrid=True, **keep)
    np.testing.assert_allclose(energies(plain.data.data), energies(hybrid.data.data), rtol=1e-3)


def test_data_that_is_its_own_reference_is_transformed_once():
    ((before, after),) = compressed(settings(), hybrid=True)
    assert before.reference.data is before.data.data
    assert after.reference.data is after.data.data
    assert after.reference.sampling == before.reference.sampling


def test_coefficients_are_kept_unless_updates_are_wished():
    scan = settings(acceleration=(2, 1), repetitions=2, noise_level=0.5)

    def rotations(**properties):
        found = []
        for before, after in compressed(scan, **properties):
            old = np.moveaxis(before.reference.data[0, 0, 0], 0, -1).reshape(-1, 8)
            new = np.moveaxis(after.reference.data[0, 0, 0], 0, -1).reshape(-1, 8)
            found.append(np.linalg.lstsq(old, new, rcond=None)[0])
        return found

    first, second = rotations()
    np.testing.assert_allclose(first, second, atol=1e-3)
    first, second = rotations(update_eigen_channel_coefficients="true")
    assert np.abs(first - second).max() > 1e-3


def test_each_slice_has_its_own_coefficients():
    scan = settings(acceleration=(2, 1), slices=2)
    pairs = compressed(scan, buffer={"split_slices": "true"})
    for _, after in pairs:
        found = energies(after.reference.data)
        assert (np.diff(found) < 1e-3 * found[0]).all()


def test_every_n_its_own_coefficients():
    scan = settings(acceleration=(2, 1), repetitions=2, noise_level=0.5)
    header, items = sorted_kspace(scan, buffer={"N_dimension": "repetition"})
    data = next(iter(items))
    gadget = make(GenericReconEigenChannelGadget, header, properties={"average_all_ref_N": "false"})
    (after,) = gadget.process(data)
    for n in range(2):
        found = energies(after.bits[0].reference.data[:, :, n : n + 1])
        assert (np.diff(found) < 1e-3 * found[0]).all()


def test_interleaved_references_that_are_not_prepared():
    scan = settings(
        acceleration=(2, 1), calibration=Calibration.INTERLEAVED, calibration_lines=0, repetitions=2
    )
    ((before, after),) = compressed(scan, prepare=False, buffer={"N_dimension": "repetition"})
    assert after.data.data.shape == before.data.data.shape


def test_unsampled_lines_stay_empty():
    ((_, after),) = compressed(settings(acceleration=(2, 1)))
    assert not after.data.data[..., 1::2, :].any()


def test_empty_encoding_spaces_pass():
    header, items = sorted_kspace(settings())
    bit = next(iter(items)).bits[0]
    empty = ReconBit(replace(bit.data, data=bit.data.data[:0]))
    (after,) = make(GenericReconEigenChannelGadget, header).process(ReconData([empty]))
    assert after.bits[0] is empty
