"""The classic GRAPPA chain: SliceAccumulator, ImageAccumulator, weights, Unmixing."""

from collections.abc import Iterator

import numpy as np
import pytest

from elastron.errors import ConfigError, DataError
from elastron.gadgets.branching import Streams
from elastron.gadgets.image_accumulator import ImageAccumulator
from elastron.gadgets.remove_ro_oversampling import RemoveROOversamplingGadget
from elastron.gadgets.slice_accumulator import SliceAccumulator
from elastron.gadgets.unmixing import Unmixing
from elastron.gadgets.weights_calculator import cpuWeightsCalculator, gpuWeightsCalculator
from elastron.mrd.acquisition import AcquisitionFlag
from elastron.mrd.buffers import Bucket, ImageArray
from elastron.mrd.image import Image
from elastron.recon.phantom_scan import phantom_acquisitions

from .grappa_scan import Calibration, difference, phantom_images, settings
from .scan_parts import batch, make, noise


class Joined(Streams):
    """Streams of lists."""

    def __init__(self, **streams):
        self._streams = streams

    def __getitem__(self, key):
        return iter(self._streams[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self):
        return len(self._streams)

    def as_ready(self):
        raise NotImplementedError


def buckets(scan, *, hybrid=False):
    header, batches = phantom_acquisitions(scan)
    cropped = make(RemoveROOversamplingGadget, header, hybrid_output=hybrid)(iter(batches))
    return header, list(make(SliceAccumulator, header)(cropped))


def reconstructed(scan, *, hybrid=False, weights=None, unmixing=None):
    header, slices = buckets(scan, hybrid=hybrid)
    streams = Joined(
        images=list(make(ImageAccumulator, header)(slices)),
        weights=list(make(cpuWeightsCalculator, header, properties=weights)(slices)),
    )
    return list(make(Unmixing, header, properties=unmixing).merge(streams))


def test_slices_end_at_their_flag():
    flags = np.zeros(7, np.uint64)
    flags[[2, 5]] = AcquisitionFlag.LAST_IN_SLICE.mask
    whole = batch(noise(7, 2, 8), flags=())
    whole.headers["flags"] = flags
    gadget = make(SliceAccumulator)
    found = list(gadget([whole.select(slice(0, 2)), whole.select(slice(2, 7))]))
    assert [[len(b) for b in bucket.data] for bucket in found] == [[2, 1], [3]]
    counters = [b.headers["scan_counter"].tolist() for bucket in found for b in bucket.data]
    assert counters == [[0, 1], [2], [3, 4, 5]]


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("calibration", [Calibration.EMBEDDED, Calibration.INTERLEAVED])
def test_two_dimensional(calibration, hybrid):
    moving = calibration is Calibration.INTERLEAVED
    scan = settings(
        acceleration=(2, 1), noise_level=1e-4, calibration=calibration, repetitions=3,
        calibration_lines=0 if moving else 20,
    )  # fmt: skip
    images = reconstructed(scan, hybrid=hybrid)
    assert len(images) == 3
    truth = phantom_images(scan)[0, 0]
    for n, image in enumerate(images):
        assert isinstance(image, Image)
        assert image.data.shape == (1, 1, 64, 64)
        assert difference(image.data[0, 0], truth) < 0.05
        assert image.header["image_index"] == n + 1
        assert image.header["repetition"] == n


def test_without_acceleration():
    scan = settings(acceleration=(1, 1))
    (image,) = reconstructed(scan)
    assert difference(image.data[0, 0], phantom_images(scan)[0, 0]) < 0.02


def test_slices_headers_and_scale():
    scan = settings(acceleration=(2, 1), slices=2, noise_level=1e-4)
    images = reconstructed(scan, unmixing={"image_series": "4", "unmixing_scale": "10"})
    truth = phantom_images(scan)[:, 0]
    for number, image in enumerate(images):
        header = image.header
        assert header["slice"] == number
        assert header["image_series_index"] == 4
        assert header["matrix_size"].tolist() == [64, 64, 1]
        assert header["field_of_view"].tolist() == [300, 300, 6]
        assert difference(image.data[0, 0] / 10, truth[number]) < 0.05
    assert images[0].header["position"][2] != images[1].header["position"][2]
    assert images[0].header["acquisition_time_stamp"] < images[1].header["acquisition_time_stamp"]


def test_calibration_data_that_has_not_changed_is_not_used_again():
    header, (bucket,) = buckets(settings(acceleration=(2, 1)))
    gadget = make(gpuWeightsCalculator, header)
    first, second = gadget([bucket, bucket])
    assert second.data.base is first.data.base


def test_a_slice_that_moves_forgets_its_lines():
    scan = settings(
        acceleration=(3, 1), calibration=Calibration.INTERLEAVED, calibration_lines=0, repetitions=4
    )
    header, slices = buckets(scan)
    for moved in slices[2:]:
        for one in moved.data:
            one.headers["position"][:, 0] += 5
    sizes = [item.data.size for item in make(cpuWeightsCalculator, header)(slices)]
    assert sizes == [0, 0, 0, 0]
    _, still = buckets(scan)
    sizes = [item.data.size > 0 for item in make(cpuWeightsCalculator, header)(still)]
    assert sizes == [False, False, True, True]


def test_images_that_never_get_weights():
    scan = settings(acceleration=(2, 1), calibration=Calibration.NONE)
    with pytest.raises(DataError, match="wait for the weights of slice 0"):
        reconstructed(scan)


def test_streams_must_be_named():
    header, _ = phantom_acquisitions(settings())
    with pytest.raises(ConfigError, match="weights is missing"):
        list(make(Unmixing, header).merge(Joined(images=[])))


def test_other_items_pass():
    header, _ = phantom_acquisitions(settings())
    assert list(make(Unmixing, header).merge(Joined(images=["text"], weights=["text"]))) == ["text"]


def calibration_only():
    """A bucket without any imaging line."""
    one = batch(noise(2, 2, 64), flags=(AcquisitionFlag.IS_PARALLEL_CALIBRATION,))
    one.headers["idx"]["kspace_encode_step_1"] = [30, 31]
    return Bucket(data=[one])


@pytest.mark.parametrize("gadget", [ImageAccumulator, cpuWeightsCalculator])
def test_calibration_lines_alone_make_no_image(gadget):
    header, _ = phantom_acquisitions(settings())
    assert list(make(gadget, header)([calibration_only()])) == []


@pytest.mark.parametrize("gadget", [ImageAccumulator, cpuWeightsCalculator])
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kspace_encode_step_1": 64}, "outside of the 64 lines"),
        ({"kspace_encode_step_2": 1}, "outside of the 64 lines"),
        ({"slice": 1}, "slice 1"),
    ],
)
def test_readouts_that_contradict_the_header(gadget, fields, message):
    header, _ = phantom_acquisitions(settings())
    bucket = Bucket(data=[batch(noise(1, 2, 64), **fields)])
    with pytest.raises(DataError, match=message):
        list(make(gadget, header)([bucket]))


def test_readouts_of_other_lengths_and_channels():
    header, _ = phantom_acquisitions(settings())
    with pytest.raises(DataError, match="RemoveROOversampling"):
        list(make(ImageAccumulator, header)([Bucket(data=[batch(noise(1, 2, 128))])]))
    mixed = Bucket(data=[batch(noise(1, 2, 64)), batch(noise(1, 3, 64))])
    for gadget in (ImageAccumulator, cpuWeightsCalculator):
        with pytest.raises(DataError, match="channels"):
            list(make(gadget, header)([mixed]))


@pytest.mark.parametrize("change", ["volume", "spaces"])
def test_scans_the_chain_cannot_do(change):
    header, _ = phantom_acquisitions(settings())
    if change == "volume":
        header.encoding[0].reconSpace.matrixSize.z = 4
    else:
        header.encoding.append(header.encoding[0])
    with pytest.raises(ConfigError, match=r"Generic_Cartesian_Grappa\.xml"):
        make(ImageAccumulator, header)


def test_an_array_per_bucket_and_stream():
    header, slices = buckets(settings(acceleration=(2, 1), repetitions=2))
    for gadget in (ImageAccumulator, cpuWeightsCalculator):
        arrays = list(make(gadget, header)(slices))
        assert len(arrays) == 2
        assert all(isinstance(array, ImageArray) for array in arrays)
