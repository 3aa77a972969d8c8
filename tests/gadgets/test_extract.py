import numpy as np
import pytest

from elastron.errors import ConfigError
from elastron.gadgets.extract import ExtractGadget
from elastron.mrd.image import IMAGE_HEADER, Image, ImageDataType, ImageType
from elastron.mrd.meta import Meta

from .scan_parts import noise, run


def image(data=None, series=0):
    header = np.zeros((), IMAGE_HEADER)
    header["image_series_index"] = series
    return Image(header, noise(2, 1, 4, 5) if data is None else data, Meta({"a": ["b"]}))


def extract(item, **properties):
    return run(ExtractGadget, [item], properties=properties)


def test_magnitude_by_default():
    item = image()
    (result,) = extract(item)
    np.testing.assert_allclose(result.data, np.abs(item.data), rtol=1e-6)
    assert result.data.dtype == np.float32
    assert result.header["image_type"] == ImageType.MAGNITUDE
    assert result.header["data_type"] == ImageDataType.FLOAT
    assert result.meta == item.meta
    assert item.header["image_type"] == 0


def test_all_parts_in_order_with_series_of_their_own():
    item = image(series=5)
    results = extract(
        item, extract_real="true", extract_imag=True, extract_phase=True, real_imag_offset="3"
    )
    assert [int(r.header["image_type"]) for r in results] == [1, 2, 3, 4]
    assert [int(r.header["image_series_index"]) for r in results] == [5, 3005, 1005, 2005]
    np.testing.assert_allclose(results[1].data, np.angle(item.data) + np.pi, rtol=1e-5)
    np.testing.assert_allclose(results[2].data, item.data.real + 3, rtol=1e-6)
    np.testing.assert_allclose(results[3].data, item.data.imag + 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("mask", "types"), [(1, [1]), (2, [3]), (4, [4]), (8, [2]), (15, [1, 2, 3, 4])]
)
def test_the_mask_counts_as_the_switches(mask, types):
    results = extract(image(), extract_mask=str(mask), extract_magnitude="false")
    assert [int(r.header["image_type"]) for r in results] == types


def test_the_mask_adds_to_the_magnitude():
    assert len(extract(image(), extract_mask=8)) == 2


def test_real_images_pass():
    item = image(np.zeros((1, 1, 4, 4), np.float32))
    assert extract(item) == [item]


def test_nothing_to_extract_is_a_config_error():
    with pytest.raises(ConfigError, match="nothing to extract"):
        extract(image(), extract_magnitude=False)
