"""Sorting, numbering and attributes of images."""

import numpy as np
import pytest
from ismrmrd import xsd
from pydantic import ValidationError

from elastron.gadgets.augment_image_metadata import AugmentImageMetadataGadget
from elastron.gadgets.base import Context, Properties
from elastron.gadgets.image_index import ImageIndexGadget
from elastron.gadgets.image_sort import ImageSortGadget, ImageSortProperties
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.meta import Meta

CONTEXT = Context(
    xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000)
    )
)


def image(**fields) -> Image:
    header = np.zeros((), IMAGE_HEADER)
    for name, value in fields.items():
        header[name] = value
    return Image(header, np.zeros((1, 1, 2, 2), np.float32))


def test_sort_is_stable_and_by_the_named_counter():
    images = [image(repetition=r, image_index=i) for i, r in enumerate([2, 0, 1, 0, 2])]
    gadget = ImageSortGadget(ImageSortProperties(sorting_dimension="repetition"), CONTEXT)
    got = [(int(i.header["repetition"]), int(i.header["image_index"])) for i in gadget(images)]
    assert got == [(0, 1), (0, 3), (1, 2), (2, 0), (2, 4)]


def test_without_a_dimension_images_pass_at_once():
    gadget = ImageSortGadget(ImageSortProperties(sorting_dimension=""), CONTEXT)
    first = image()
    assert next(iter(gadget(iter([first])))) is first


def test_unknown_dimension_is_refused():
    with pytest.raises(ValidationError, match="sorting_dimension"):
        ImageSortProperties(sorting_dimension="colour")  # type: ignore[arg-type]


def test_images_are_numbered_in_each_series_and_the_input_is_left_alone():
    images = [image(image_series_index=s) for s in [1, 20, 1, 1, 20]]
    got = [int(i.header["image_index"]) for i in ImageIndexGadget(Properties(), CONTEXT)(images)]
    assert got == [1, 1, 2, 3, 2]
    assert all(i.header["image_index"] == 0 for i in images)


def test_directions_become_attributes_unless_they_are_there():
    plain = image(read_dir=(1, 0, 0), phase_dir=(0, -1, 0))
    kept = Image(plain.header, plain.data, Meta({"ImageRowDir": ["0", "0", "1"]}))
    gadget = AugmentImageMetadataGadget(Properties(), CONTEXT)
    first, second = gadget([plain, kept])
    assert first.meta == {"ImageRowDir": [1.0, 0.0, 0.0], "ImageColumnDir": [0.0, -1.0, 0.0]}
    assert second.meta["ImageRowDir"] == ["0", "0", "1"]
    assert plain.meta == {}
