from pathlib import Path

import h5py
import numpy as np

from elastron.gadgets.generic_recon_noise_std_map_computing import (
    GenericReconNoiseStdMapComputingGadget as StdMap,
)

from .arrays import build, context, image_array, noise

REFERENCE = Path(__file__).parents[1] / "data" / "reference"


def test_a_map_follows_its_snr_images():
    item = image_array(20 + noise(2, 1, 12, 1, 1, 8, 8), "SNR_MAP")
    item.headers["image_series_index"] = 300
    images, deviation = build(StdMap, context()).process(item)
    assert images is item
    assert deviation.data.shape == (2, 1, 1, 1, 1, 8, 8)
    assert deviation.data.dtype == np.complex64
    expected = np.std(np.abs(item.data[:, :, 5:]), axis=2)
    assert np.allclose(deviation.data[:, :, 0], expected, atol=1e-5)
    assert deviation.headers["image_series_index"].ravel().tolist() == [3000, 3000]
    assert item.headers["image_series_index"].max() == 300
    # Header and attributes are those of the first image along N.
    assert deviation.headers["image_index"].ravel().tolist() == [0, 12]
    assert [one.first("number") for one in deviation.meta] == [0, 12]
    meta = deviation.meta[0]
    assert meta["GADGETRON_DataRole"] == ["STD_MAP"]
    assert meta["GADGETRON_ImageComment"] == ["GT", "SNR", "STD_MAP"]
    assert meta["GADGETRON_SeqDescription"] == ["_STD_MAP"]
    assert item.meta[0]["GADGETRON_DataRole"] == ["SNR_MAP"]


def test_the_first_image_that_counts_is_a_property():
    item = image_array(20 + noise(1, 1, 4, 1, 1, 8, 8), "SNR_MAP")
    _, deviation = build(StdMap, context(), start_N_for_std_map=1).process(item)
    assert np.allclose(deviation.data[:, :, 0], np.std(np.abs(item.data[:, :, 1:]), axis=2))


def test_other_images_and_short_series_pass_alone():
    gadget = build(StdMap, context())
    for item in (
        image_array(noise(1, 1, 12, 1, 1, 4, 4), "Image"),
        image_array(noise(1, 1, 5, 1, 1, 4, 4), "SNR_MAP"),
    ):
        assert list(gadget.process(item)) == [item]


def test_the_originals_map_is_that_of_the_originals_images():
    with h5py.File(REFERENCE / "brain_R2_reps10__Generic_Cartesian_Grappa_SNR.h5") as file:
        snr = file["ref/image_300/data"][:, 0, 0] / 10.0
        reference = file["ref/image_3000/data"][0, 0, 0] / 1000.0
    item = image_array(snr[None, None, :, None, None], "SNR_MAP")
    _, deviation = build(StdMap, context()).process(item)
    difference = np.abs(deviation.data.squeeze()) - reference
    # The images were rounded to a tenth.
    assert np.abs(difference).max() < 0.1
    assert np.linalg.norm(difference) < 0.05 * np.linalg.norm(reference)
