from dataclasses import replace

import numpy as np
import pytest

from elastron.gadgets.base import Context, Hybrid
from elastron.gadgets.generic_recon_cartesian_fft import (
    GenericReconCartesianFFTGadget as CartesianFFT,
)
from elastron.gadgets.generic_recon_cartesian_fft import is_whole
from elastron.gadgets.generic_recon_cartesian_reference_prep import (
    GenericReconCartesianReferencePrepGadget as ReferencePrep,
)
from elastron.mrd.acquisition import ACQUISITION_HEADER, ReadoutDomain
from elastron.mrd.buffers import DataBuffered, ReconBit, ReconData, Sampling, SamplingLimit
from elastron.recon.fft import ifft
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions, phantom_images

from .arrays import build

MATRIX = 32


def scan(domain=ReadoutDomain.KSPACE, **settings) -> tuple[Context, ReconData, np.ndarray]:
    """Sorted k-space of a phantom scan, and its truth (LOC, z, y, x)."""
    chosen = PhantomSettings(
        **{"matrix": MATRIX, "oversampling": 1, "coils": 4, "noise_level": 0.001} | settings
    )
    header, batches = phantom_acquisitions(chosen)
    depth, n = chosen.partitions, chosen.matrix
    shape = (chosen.slices, 1, chosen.repetitions, depth, n)
    headers = np.zeros(shape, ACQUISITION_HEADER)
    data = np.zeros((*shape, chosen.coils, n), np.complex64)
    for batch in batches:
        index = (
            batch.counter("slice"),
            0,
            batch.counter("repetition"),
            batch.counter("kspace_encode_step_2"),
            batch.counter("kspace_encode_step_1"),
        )
        data[index], headers[index] = batch.data, batch.headers
    data = np.ascontiguousarray(np.moveaxis(data, 5, 3))
    if domain is ReadoutDomain.IMAGE:
        data = ifft(data, -1)
    limits = (
        SamplingLimit(0, n // 2, n - 1),
        SamplingLimit(chosen.first_line, n // 2, n - 1),
        SamplingLimit(0, depth // 2, depth - 1),
    )
    fov = (300.0, 300.0, 6.0 * depth)
    sampling = Sampling(fov, fov, (n, n, depth), (n, n, depth), limits)
    buffered = DataBuffered(data, headers, sampling, readout_domain=domain)
    item = ReconData([ReconBit(buffered)])
    return Context(header=header, threads=2), item, phantom_images(chosen)


def prepared(context: Context, item: ReconData) -> ReconData:
    (result,) = build(ReferencePrep, context).process(item)
    return result


def error(image, truth):
    return np.linalg.norm(np.abs(image) - truth) / np.linalg.norm(truth)


@pytest.mark.parametrize("domain", list(ReadoutDomain))
@pytest.mark.parametrize("with_reference", [False, True])
@pytest.mark.parametrize("settings", [{}, {"slices": 2}, {"partitions": 8}])
def test_images_are_the_truth(domain, with_reference, settings):
    context, item, truth = scan(domain, **settings)
    if with_reference:
        item = prepared(context, item)
    (array,) = build(CartesianFFT, context).process(item)
    assert array.data.shape == (*truth.shape[:1], 1, 1, 1, *truth.shape[1:])
    assert error(array.data[:, 0, 0, 0], truth) < 0.01
    assert array.acquisition_headers is item.bits[0].data.headers


def test_repetitions_along_n_share_an_averaged_reference():
    context, item, truth = scan(repetitions=3)
    (array,) = build(CartesianFFT, context).process(prepared(context, item))
    for n in range(3):
        assert error(array.data[:, 0, n, 0], truth) < 0.01
    assert array.headers["image_index"].ravel().tolist() == [1, 2, 3]


def test_headers_and_roles():
    context, item, _ = scan()
    (array,) = build(CartesianFFT, context, image_series=10).process(item)
    assert array.headers["image_series_index"][0, 0, 0] == 11
    assert array.meta[0]["GADGETRON_DataRole"] == ["Image"]
    assert array.headers["field_of_view"][0, 0, 0].tolist() == [300, 300, 6]


def test_the_short_cut_gives_what_the_transform_of_the_reference_gives():
    # With the reference's limits off by one it must be windowed and transformed.
    images = []
    for whole in (True, False):
        context, item, _ = scan(noise_level=0.05)
        item = prepared(context, item)
        bit = item.bits[0]
        assert is_whole(bit.reference, bit.data)
        if not whole:
            headers = bit.reference.headers.copy()
            headers["scan_counter"] += 1
            bit.reference = replace(bit.reference, headers=headers)
            assert not is_whole(bit.reference, bit.data)
        (array,) = build(CartesianFFT, context).process(item)
        images.append(array.data)
    assert np.linalg.norm(images[0] - images[1]) < 1e-4 * np.linalg.norm(images[0])


def test_coarse_coil_maps_are_nearer_to_the_truth():
    """Why ours differ from the original's by default, for large matrices."""
    errors = []
    for properties in ({"coil_map_matrix": 0}, {}):
        context, item, truth = scan(matrix=256, coils=8, noise_level=0.05)
        gadget = build(CartesianFFT, context, **properties)
        (array,) = gadget.process(prepared(context, item))
        errors.append(error(array.data[:, 0, 0, 0], truth))
    assert errors[1] < 0.95 * errors[0]


def test_partial_data_calibrates_from_its_symmetric_part():
    context, item, truth = scan(partial_fourier=0.75)
    item = prepared(context, item)
    assert not is_whole(item.bits[0].reference, item.bits[0].data)
    (array,) = build(CartesianFFT, context).process(item)
    assert error(array.data[:, 0, 0, 0], truth) < 0.3


@pytest.mark.parametrize("algorithm", ["Inati_Iter", "Walsh"])
def test_other_coil_maps(algorithm):
    context, item, truth = scan()
    gadget = build(CartesianFFT, context, coil_map_algorithm=algorithm)
    (array,) = gadget.process(item)
    assert error(array.data[:, 0, 0, 0], truth) < 0.02


def test_it_takes_data_on_either_side_of_the_readout_transform():
    assert CartesianFFT.hybrid is Hybrid.CONSUMES


def test_empty_encoding_spaces_give_nothing():
    context, item, _ = scan()
    bit = item.bits[0]
    empty = ReconBit(replace(bit.data, data=bit.data.data[:0]))
    assert list(build(CartesianFFT, context).process(ReconData([empty]))) == []
