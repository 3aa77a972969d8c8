import numpy as np
import pytest

from elastron.errors import DataError, HeaderError
from elastron.gadgets.accumulator import AccumulatorGadget
from elastron.gadgets.acquisition_accumulate_trigger import AcquisitionAccumulateTriggerGadget
from elastron.gadgets.bucket_to_buffer import BucketToBufferGadget
from elastron.gadgets.fft import FFTGadget
from elastron.mrd.acquisition import AcquisitionFlag
from elastron.recon.fft import fft

from .scan_parts import batch, header, noise, run

SCAN = header((16, 6, 1), limits={"slice": (0, 1, 0)})


def lines(n=6, samples=8, **fields):
    fields.setdefault("kspace_encode_step_1", np.arange(n))
    return batch(noise(n, 2, samples), **fields)


def test_a_slice_comes_after_its_last_readout():
    first, second = lines(slice=0, position=(1, 2, 3)), lines(slice=1)
    for item in (first, second):
        item.headers["flags"][-1] |= AcquisitionFlag.LAST_IN_SLICE.mask
    images = run(AccumulatorGadget, [first, second], SCAN, properties={"image_series": "3"})
    assert len(images) == 2
    assert images[0].data.shape == (2, 1, 6, 8)
    np.testing.assert_array_equal(images[0].data[:, 0], first.data.transpose(1, 0, 2))
    np.testing.assert_array_equal(images[1].data[:, 0], second.data.transpose(1, 0, 2))
    head = images[0].header
    assert head["matrix_size"].tolist() == [8, 6, 1]
    assert head["field_of_view"].tolist() == [16, 12, 2]
    assert head["position"].tolist() == [1, 2, 3]
    assert [int(i.header["slice"]) for i in images] == [0, 1]
    assert [int(i.header["image_index"]) for i in images] == [1, 2]
    assert head["image_series_index"] == 3
    assert head["channels"] == 2


def test_short_readouts_are_centred():
    item = lines(1, samples=4, center_sample=1, flags=(8,))
    (image,) = run(AccumulatorGadget, [item], SCAN)
    np.testing.assert_array_equal(image.data[:, 0, 0, 3:7], item.data[0])


def test_one_batch_with_the_ends_of_two_slices():
    item = lines(4, slice=[0, 0, 1, 1], kspace_encode_step_1=[0, 1, 0, 1])
    item.headers["flags"][[1, 3]] |= AcquisitionFlag.LAST_IN_SLICE.mask
    images = run(AccumulatorGadget, [item], SCAN)
    np.testing.assert_array_equal(images[1].data[:, 0, 1], item.data[3])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (lines(kspace_encode_step_1=6), "kspace_encode_step_1 6"),
        (lines(slice=2), "slice 2"),
        (lines(kspace_encode_step_2=1), "kspace_encode_step_2 1"),
        (lines(samples=16), "RemoveROOversamplingGadget"),
    ],
)
def test_what_does_not_fit_is_an_error(item, message):
    with pytest.raises(DataError, match=message):
        run(AccumulatorGadget, [item], SCAN)


def test_more_channels_than_before_are_an_error():
    with pytest.raises(DataError, match="3 channels"):
        run(AccumulatorGadget, [lines(), batch(noise(1, 3, 8))], SCAN)


def test_absurd_sizes_and_several_encodings_are_refused():
    with pytest.raises(DataError, match="GB"):
        run(AccumulatorGadget, [lines()], header((65535, 65535, 65535)))
    several = header((16, 6, 1))
    several.encoding.append(several.encoding[0])
    with pytest.raises(HeaderError, match="one encoding"):
        run(AccumulatorGadget, [], several)


def test_fft_gadget_keeps_the_channels():
    scan = header((8, 6, 1), oversampling=1)
    coils = noise(3, 6, 8)
    kspace = fft(coils, (1, 2))
    items = [
        batch(kspace.transpose(1, 0, 2), kspace_encode_step_1=np.arange(6), contrast=c)
        for c in (0, 1)
    ]
    buckets = run(AcquisitionAccumulateTriggerGadget, items)
    buffers = run(BucketToBufferGadget, buckets, scan, properties={"N_dimension": "contrast"})
    images = run(FFTGadget, buffers, scan)
    assert [int(i.header["image_index"]) for i in images] == [1, 2]
    assert [int(i.header["contrast"]) for i in images] == [0, 1]
    assert images[0].header["channels"] == 3
    np.testing.assert_allclose(images[0].data[:, 0], coils, atol=1e-5)
