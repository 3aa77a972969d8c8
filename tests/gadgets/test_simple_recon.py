import dataclasses

import numpy as np

from elastron.gadgets.acquisition_accumulate_trigger import AcquisitionAccumulateTriggerGadget
from elastron.gadgets.bucket_to_buffer import BucketToBufferGadget
from elastron.gadgets.simple_recon import SimpleReconGadget
from elastron.mrd.acquisition import ReadoutDomain
from elastron.mrd.image import ImageDataType
from elastron.recon.fft import fft, ifft

from .scan_parts import batch, header, noise, run

SCAN = header((8, 6, 1), oversampling=1)


def buffers(items, scan=SCAN, **properties):
    buckets = run(AcquisitionAccumulateTriggerGadget, items)
    return run(BucketToBufferGadget, buckets, scan, properties=properties)


def readouts(kspace, **fields):
    """(coils, lines, samples) -> one batch."""
    n = kspace.shape[1]
    return batch(kspace.transpose(1, 0, 2), kspace_encode_step_1=np.arange(n), **fields)


def test_images_are_the_root_sum_of_squares():
    coils = noise(3, 6, 8)
    (array,) = run(SimpleReconGadget, buffers([readouts(fft(coils, (1, 2)))]), SCAN)
    assert array.data.shape == (1, 1, 1, 1, 1, 6, 8)
    assert array.data.dtype == np.complex64
    expected = np.sqrt((np.abs(coils) ** 2).sum(axis=0))
    np.testing.assert_allclose(array.data[0, 0, 0, 0, 0], expected, atol=1e-5)


def test_readouts_in_image_space_give_the_same():
    item = readouts(noise(3, 6, 8))
    hybrid = dataclasses.replace(item, data=ifft(item.data, -1), readout_domain=ReadoutDomain.IMAGE)
    (expected,) = run(SimpleReconGadget, buffers([item]), SCAN)
    (actual,) = run(SimpleReconGadget, buffers([hybrid]), SCAN)
    np.testing.assert_allclose(actual.data, expected.data, atol=1e-5)


def test_volumes():
    scan = header((8, 4, 6), oversampling=1)
    volume = noise(2, 6, 4, 8)
    kspace = fft(volume, (1, 2, 3))
    items = [readouts(kspace[:, z], kspace_encode_step_2=z) for z in range(6)]
    (array,) = run(SimpleReconGadget, buffers(items, scan), scan)
    expected = np.sqrt((np.abs(volume) ** 2).sum(axis=0))
    np.testing.assert_allclose(array.data[0, 0, 0, 0], expected, atol=1e-5)


def test_headers_come_from_the_centre_of_kspace():
    item = readouts(
        noise(2, 6, 8),
        repetition=4,
        average=1,
        measurement_uid=99,
        acquisition_time_stamp=np.arange(6) + 100,
        position=(1, 2, 3),
        read_dir=(1, 0, 0),
        physiology_time_stamp=(7, 8, 9),
    )
    (array,) = run(SimpleReconGadget, buffers([item]), SCAN)
    image = array.headers[0, 0, 0]
    assert image["acquisition_time_stamp"] == 103
    assert image["measurement_uid"] == 99
    assert image["position"].tolist() == [1, 2, 3]
    assert image["read_dir"].tolist() == [1, 0, 0]
    assert (image["repetition"], image["average"]) == (4, 1)
    assert image["matrix_size"].tolist() == [8, 6, 1]
    assert image["field_of_view"].tolist() == [16, 12, 2]
    assert image["channels"] == 1
    assert image["data_type"] == ImageDataType.CXFLOAT
    assert image["physiology_time_stamp"].tolist() == [0, 0, 0]  # as in the original


def test_without_the_central_line_the_nearest_gives_the_header():
    item = batch(noise(2, 2, 8), kspace_encode_step_1=[1, 5], acquisition_time_stamp=[10, 20])
    (array,) = run(SimpleReconGadget, buffers([item]), SCAN)
    assert array.headers[0, 0, 0]["acquisition_time_stamp"] in {10, 20}


def test_images_are_numbered_through_the_scan():
    items = [readouts(noise(2, 6, 8), repetition=r, contrast=c) for r in (0, 1) for c in (0, 1)]
    arrays = run(SimpleReconGadget, buffers(items, N_dimension="contrast"), SCAN)
    assert [a.headers["image_index"].ravel().tolist() for a in arrays] == [[1, 2], [3, 4]]
    assert [a.headers["contrast"].ravel().tolist() for a in arrays] == [[0, 1], [0, 1]]


def test_encoding_spaces_without_data_make_no_image():
    scan = header((8, 6, 1), oversampling=1)
    scan.encoding.append(scan.encoding[0])
    item = readouts(noise(2, 6, 8), encoding_space_ref=1)
    assert len(run(SimpleReconGadget, buffers([item], scan), scan)) == 1
