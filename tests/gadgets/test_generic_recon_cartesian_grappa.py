"""GRAPPA reconstruction of simulated scans, against their truth."""

import math

import numpy as np
import pytest

from elastron.errors import DataError
from elastron.gadgets import generic_recon_cartesian_grappa as module
from elastron.gadgets.generic_recon_cartesian_grappa import GenericReconCartesianGrappaGadget
from elastron.mrd.buffers import ImageArray, ReconBit, ReconData
from elastron.mrd.waveform import Waveform

from .grappa_scan import (
    Calibration,
    difference,
    phantom_images,
    reconstructed,
    settings,
    sorted_kspace,
)
from .scan_parts import make


def snr_scale(scan):
    """What the truth is multiplied by: noise of a pixel stays what it was in a sample."""
    lines = scan.matrix * scan.partitions
    sampled = math.ceil(scan.matrix / scan.acceleration[0])
    sampled *= math.ceil(scan.partitions / scan.acceleration[1])
    return math.sqrt(lines / sampled) / math.prod(scan.acceleration)


CALIBRATIONS = [Calibration.EMBEDDED, Calibration.SEPARATE, Calibration.INTERLEAVED]


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("r1", [2, 3])
def test_two_dimensional(calibration, hybrid, r1):
    moving = calibration is Calibration.INTERLEAVED
    # A multiple of 2 and 3: image-domain kernels take k-space as periodic.
    scan = settings(
        matrix=60,
        acceleration=(r1, 1),
        noise_level=1e-4,
        calibration=calibration,
        calibration_lines=0 if moving else 20,
        repetitions=r1 if moving else 1,
    )
    arrays = reconstructed(
        scan,
        hybrid=hybrid,
        buffer={"N_dimension": "repetition"},
        grappa={"grappa_reg_lamda": "1e-6"},
    )
    assert len(arrays) == 1
    assert arrays[0].data.shape == (1, 1, scan.repetitions, 1, 1, 60, 60)
    truth = phantom_images(scan)[0, 0]
    for n in range(scan.repetitions):
        scale = 1 / math.sqrt(r1)
        image = arrays[0].data[0, 0, n, 0, 0] / scale
        assert difference(image, truth) < 0.02


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("acceleration", [(2, 1), (1, 2), (2, 2)])
def test_three_dimensional(calibration, acceleration):
    moving = calibration is Calibration.INTERLEAVED
    scan = settings(
        matrix=40,
        partitions=24,
        noise_level=1e-4,
        acceleration=acceleration,
        calibration=calibration,
        calibration_lines=0 if moving else 16,
        repetitions=math.prod(acceleration) if moving else 1,
    )
    arrays = reconstructed(
        scan,
        hybrid=calibration is Calibration.EMBEDDED,
        buffer={"N_dimension": "repetition"},
        eigen={"average_all_ref_S": "true", "upstream_coil_compression_thres": "1e-5"},
        grappa={"grappa_reg_lamda": "1e-6", "send_out_gfactor": "true"},
    )
    gfactor, images = arrays
    truth = phantom_images(scan)[0]
    assert images.data.shape == (1, 1, scan.repetitions, 1, 24, 40, 40)
    scale = snr_scale(scan)
    for n in range(scan.repetitions):
        assert difference(images.data[0, 0, n, 0] / scale, truth) < 0.03
    assert gfactor.data.shape == (1, 1, 1, 1, 24, 40, 40)
    inside = truth > 0.1
    g = gfactor.data[0, 0, 0, 0].real[inside]
    assert np.quantile(g, 0.01) > 0.9
    assert np.median(g) < 10


@pytest.mark.parametrize("hybrid", [False, True])
def test_without_acceleration_channels_are_combined(hybrid):
    scan = settings(acceleration=(1, 1))
    (images,) = reconstructed(scan, hybrid=hybrid)
    assert difference(images.data[0, 0, 0, 0, 0], phantom_images(scan)[0, 0]) < 0.02


def test_coil_compression_keeps_the_image():
    scan = settings(acceleration=(2, 1), coils=12)
    (plain,) = reconstructed(scan, grappa={"downstream_coil_compression": "false"})
    (compressed,) = reconstructed(
        scan,
        eigen={"upstream_coil_compression_thres": "0.002"},
        grappa={"downstream_coil_compression_thres": "0.01"},
    )
    assert difference(compressed.data, np.abs(plain.data)) < 0.03


@pytest.mark.parametrize("algorithm", ["Inati", "Inati_Iter", "Walsh"])
def test_coil_map_algorithms(algorithm):
    scan = settings(acceleration=(2, 1))
    (images,) = reconstructed(
        scan, grappa={"coil_map_algorithm": algorithm, "grappa_reg_lamda": "1e-6"}
    )
    image = images.data[0, 0, 0, 0, 0] / snr_scale(scan)
    assert difference(image, phantom_images(scan)[0, 0]) < 0.03


def test_coil_maps_of_every_second_line():
    """16 of 64 lines calibrate: maps of 32 lines do as well as those of 64."""
    scan = settings(acceleration=(2, 1), calibration_lines=16)
    truth = phantom_images(scan)[0, 0] * snr_scale(scan)
    (whole,) = reconstructed(scan, grappa={"coil_map_matrix": "0"})
    (halved,) = reconstructed(scan, grappa={"coil_map_matrix": "32"})
    assert not np.array_equal(halved.data, whole.data)
    assert difference(halved.data, np.abs(whole.data)) < 0.01
    errors = [difference(a.data[0, 0, 0, 0, 0], truth) for a in (halved, whole)]
    assert errors[0] < 1.05 * errors[1]


def test_maps_are_sent_before_the_images():
    scan = settings(acceleration=(2, 1))
    arrays = reconstructed(
        scan, grappa={"send_out_gfactor": "true", "send_out_snr_map": "true", "image_series": "5"}
    )
    series = [int(a.headers["image_series_index"].item()) for a in arrays]
    assert series == [25, 305, 6]
    roles = [a.meta[0].first("GADGETRON_DataRole") for a in arrays]
    assert roles == ["Gfactor", "SNR_MAP", "Image"]
    assert arrays[0].meta[0].first("Skip_processing_after_recon") == 1
    assert "Skip_processing_after_recon" not in arrays[2].meta[0]
    gfactor, snr, images = (a.data[0, 0, 0, 0, 0] for a in arrays)
    np.testing.assert_allclose(snr * gfactor, images, rtol=1e-4)


def test_images_are_in_snr_units():
    """Noise of 1 in a sample (real and imaginary) is g in the image, and 1 in the SNR map."""
    scan = settings(
        acceleration=(2, 1), calibration=Calibration.SEPARATE, noise_level=1.0, repetitions=60
    )
    arrays = reconstructed(
        scan,
        buffer={"N_dimension": "repetition"},
        prep={"average_all_ref_N": "true"},
        grappa={"send_out_gfactor": "true", "send_out_snr_map": "true"},
    )
    gfactor, snr, images = (a.data[0, 0, :, 0, 0] for a in arrays)
    noise = images.std(axis=0) / math.sqrt(2)
    assert np.mean(noise / gfactor[0].real) == pytest.approx(1, abs=0.02)
    assert np.mean(snr.std(axis=0)) / math.sqrt(2) == pytest.approx(1, abs=0.02)


def test_snr_map_without_acceleration_is_the_image():
    snr, images = reconstructed(
        settings(acceleration=(1, 1)),
        grappa={"send_out_gfactor": "true", "send_out_snr_map": "true"},
    )
    np.testing.assert_array_equal(snr.data, images.data)


def count_calibrations(monkeypatch):
    calls = []
    original = module.calibrate

    def counted(*args):
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(module, "calibrate", counted)
    return calls


def test_unchanged_calibration_data_is_used_again(monkeypatch):
    calls = count_calibrations(monkeypatch)
    header, items = sorted_kspace(settings(acceleration=(2, 1)))
    data = next(iter(items))
    prep = make(module_prep(), header)
    (prepared,) = prep.process(data)
    gadget = make(GenericReconCartesianGrappaGadget, header)
    bit = prepared.bits[0]
    first, second = (list(gadget.process(ReconData([bit]))) for _ in range(2))
    assert len(calls) == 1
    np.testing.assert_array_equal(first[0].data, second[0].data)

    assert bit.reference is not None
    bit.reference.data = bit.reference.data.copy()
    bit.reference.data[..., 3] *= 2
    list(gadget.process(ReconData([bit])))
    assert len(calls) == 2


def test_the_item_is_emptied():
    header, items = sorted_kspace(settings(acceleration=(2, 1)))
    (prepared,) = make(module_prep(), header).process(next(iter(items)))
    for _ in make(GenericReconCartesianGrappaGadget, header).process(prepared):
        assert prepared.bits == []


def module_prep():
    from elastron.gadgets.generic_recon_cartesian_reference_prep import (
        GenericReconCartesianReferencePrepGadget,
    )

    return GenericReconCartesianReferencePrepGadget


def test_calibration_acquired_once_serves_all_repetitions(monkeypatch):
    calls = count_calibrations(monkeypatch)
    scan = settings(acceleration=(2, 1), calibration=Calibration.SEPARATE, repetitions=3)
    arrays = reconstructed(scan, grappa={"send_out_gfactor": "true", "send_out_snr_map": "true"})
    series = [int(a.headers["image_series_index"].item()) for a in arrays]
    assert series == [20, 300, 1, 300, 1, 300, 1]
    assert len(calls) == 1
    truth = phantom_images(scan)[0, 0]
    for array in arrays[2::2]:
        assert difference(array.data[0, 0, 0, 0, 0] / snr_scale(scan), truth) < 0.05


def test_references_prepared_once_per_slice(monkeypatch):
    """As in Generic_Cartesian_Grappa_T2W: each slice has its own calibration."""
    calls = count_calibrations(monkeypatch)
    scan = settings(acceleration=(2, 1), slices=2, repetitions=2)
    arrays = reconstructed(
        scan,
        buffer={"split_slices": "true"},
        trigger={"trigger_dimension": "repetition"},
        prep={"prepare_ref_always": "false"},
        eigen={},
    )
    assert len(calls) == 2
    truth = phantom_images(scan)[:, 0]
    assert len(arrays) == 4
    for array in arrays:
        number = int(array.headers["slice"].item())
        image = array.data[0, 0, 0, 0, 0] / snr_scale(scan)
        assert difference(image, truth[number]) < 0.05


def test_slices_in_one_array():
    scan = settings(acceleration=(2, 1), slices=3)
    (images,) = reconstructed(scan, grappa={"grappa_reg_lamda": "1e-6"})
    assert images.data.shape == (3, 1, 1, 1, 1, 64, 64)
    assert images.headers["slice"].ravel().tolist() == [0, 1, 2]
    assert images.headers["image_index"].ravel().tolist() == [1, 2, 3]
    truth = phantom_images(scan)[:, 0] * snr_scale(scan)
    assert difference(images.data[:, 0, 0, 0, 0], truth) < 0.03
    positions = images.headers["position"][:, 0, 0, 2]
    assert len(set(positions.tolist())) == 3


def test_accelerated_data_without_any_calibration():
    scan = settings(acceleration=(2, 1), calibration=Calibration.NONE)
    header, items = sorted_kspace(scan)
    bit = next(iter(items)).bits[0]
    header.encoding[0].parallelImaging.calibrationMode = "embedded"
    gadget = make(GenericReconCartesianGrappaGadget, header)
    with pytest.raises(DataError, match="without calibration lines"):
        list(gadget.process(ReconData([ReconBit(bit.data)])))


def test_other_items_pass():
    header, _ = sorted_kspace(settings())
    waveform = Waveform(np.zeros(()), np.zeros((1, 1), np.uint32))
    assert list(make(GenericReconCartesianGrappaGadget, header)([waveform])) == [waveform]


def test_empty_encoding_spaces_are_skipped():
    header, items = sorted_kspace(settings(acceleration=(1, 1)))
    (prepared,) = make(module_prep(), header).process(next(iter(items)))
    bit = prepared.bits[0]
    bit.data.data = bit.data.data[:0]
    assert list(make(GenericReconCartesianGrappaGadget, header).process(prepared)) == []


def test_acquisition_headers_go_along():
    (images,) = reconstructed(settings(acceleration=(2, 1)))
    assert isinstance(images, ImageArray)
    assert images.acquisition_headers is not None
    assert images.acquisition_headers.shape == (1, 1, 1, 1, 64)
