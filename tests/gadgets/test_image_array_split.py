import numpy as np

from elastron.gadgets.image_array_split import ImageArraySplitGadget
from elastron.mrd.buffers import ImageArray
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.meta import Meta

from .scan_parts import noise, run


def array(*, meta=True):
    headers = np.zeros((2, 1, 3), IMAGE_HEADER)
    headers["image_index"] = np.arange(6).reshape(2, 1, 3)
    metas = [Meta({"n": [i]}) for i in range(6)] if meta else []
    return ImageArray(noise(2, 1, 3, 2, 1, 4, 5), headers, metas)


def test_one_image_for_each_header():
    item = array()
    images = run(ImageArraySplitGadget, [item])
    assert [int(i.header["image_index"]) for i in images] == list(range(6))
    assert [i.meta["n"] for i in images] == [[i] for i in range(6)]
    np.testing.assert_array_equal(images[4].data, item.data[1, 0, 1])
    images[0].header["image_index"] = 77
    assert item.headers[0, 0, 0]["image_index"] == 0


def test_arrays_without_attributes():
    assert all(i.meta == {} for i in run(ImageArraySplitGadget, [array(meta=False)]))


def test_images_pass():
    image = Image(np.zeros((), IMAGE_HEADER), noise(1, 1, 4, 4))
    assert run(ImageArraySplitGadget, [image]) == [image]
