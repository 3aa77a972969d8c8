import numpy as np
import pytest

from elastron.errors import DataError, HeaderError
from elastron.gadgets.remove_ro_oversampling import RemoveROOversamplingGadget
from elastron.mrd.acquisition import ReadoutDomain
from elastron.recon.fft import fft, ifft
from elastron.wire.messages import Text

from .scan_parts import batch, header, noise, run


def crop(x):
    return ifft(x, -1)[..., 4:12]


def test_readouts_are_cropped_in_image_space():
    x = noise(3, 2, 16)
    original = batch(x, discard_pre=3, discard_post=[0, 2, 5], repetition=7)
    (result,) = run(RemoveROOversamplingGadget, [original])
    np.testing.assert_allclose(result.data, fft(crop(x), -1), atol=1e-6)
    assert result.readout_domain is ReadoutDomain.KSPACE
    assert result.headers["number_of_samples"].tolist() == [8, 8, 8]
    assert result.headers["center_sample"].tolist() == [4, 4, 4]
    assert result.headers["discard_pre"].tolist() == [1, 1, 1]
    assert result.headers["discard_post"].tolist() == [0, 1, 2]
    assert result.headers["idx"]["repetition"].tolist() == [7, 7, 7]
    assert original.headers["number_of_samples"].tolist() == [16, 16, 16]


def test_whole_readouts_stay_in_image_space_where_the_chain_takes_it():
    x = noise(3, 2, 16)
    (result,) = run(RemoveROOversamplingGadget, [batch(x)], hybrid_output=True)
    assert result.readout_domain is ReadoutDomain.IMAGE
    np.testing.assert_allclose(result.data, crop(x), atol=1e-6)


@pytest.mark.parametrize(
    "fields", [{"discard_pre": 2}, {"discard_post": 2}, {"center_sample": 5}, {"flags": (22,)}]
)
def test_partial_readouts_go_back_to_kspace(fields):
    (result,) = run(
        RemoveROOversamplingGadget, [batch(noise(2, 1, 16), **fields)], hybrid_output=True
    )
    assert result.readout_domain is ReadoutDomain.KSPACE


def test_non_cartesian_readouts_go_back_to_kspace():
    scan = header(trajectory="spiral")
    (result,) = run(RemoveROOversamplingGadget, [batch(noise(2, 1, 16))], scan, hybrid_output=True)
    assert result.readout_domain is ReadoutDomain.KSPACE


def test_image_space_input_is_cropped_only():
    x = noise(2, 1, 16)
    scan = header((16, 8, 1), oversampling=1)
    (hybrid,) = run(RemoveROOversamplingGadget, [batch(x)], scan, hybrid_output=True)
    (again,) = run(RemoveROOversamplingGadget, [hybrid], hybrid_output=True)
    np.testing.assert_allclose(again.data, crop(x), atol=1e-6)
    (back,) = run(RemoveROOversamplingGadget, [hybrid])
    assert back.readout_domain is ReadoutDomain.KSPACE
    np.testing.assert_allclose(back.data, fft(crop(x), -1), atol=1e-6)


def test_data_without_oversampling_pass_untouched():
    scan = header((16, 8, 1), oversampling=1)
    item = batch(noise(2, 1, 16))
    assert run(RemoveROOversamplingGadget, [item], scan)[0] is item


def test_the_trajectory_keeps_the_length_of_the_readout():
    positions = (np.arange(16, dtype=np.float32) - 8)[None, :, None] * np.ones(
        (2, 1, 2), np.float32
    )
    (result,) = run(RemoveROOversamplingGadget, [batch(noise(2, 1, 16), trajectory=positions)])
    assert result.trajectory.shape == (2, 8, 2)
    np.testing.assert_allclose(result.trajectory[0, :, 0], np.arange(-8, 8, 2))


def test_other_items_and_empty_batches_pass():
    empty = batch(np.zeros((0, 2, 16)))
    text = Text("hello")
    assert run(RemoveROOversamplingGadget, [text, empty]) == [text, empty]


def test_a_readout_shorter_than_the_oversampling_is_an_error():
    with pytest.raises(DataError, match=r"1 samples.*scan counter"):
        run(RemoveROOversamplingGadget, [batch(noise(1, 1, 1))])


def test_a_field_of_view_that_grows_is_refused():
    with pytest.raises(HeaderError, match="field of view"):
        run(RemoveROOversamplingGadget, [], header((16, 8, 1), (32, 8, 1), oversampling=0.5))
