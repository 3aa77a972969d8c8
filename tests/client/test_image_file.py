from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

from elastron.client import ImageFile
from elastron.mrd.dataset import Dataset
from elastron.mrd.meta import Meta
from tests.client.images import make_image

REFERENCE = Path(__file__).parents[1] / "data/reference/brain_R2__Generic_Cartesian_Grappa_SNR.h5"


def layout(path: Path, group: str) -> dict:
    """Shapes, types and extents of all datasets of a group."""
    found = {}

    def visit(name: str, item) -> None:
        if isinstance(item, h5py.Dataset):
            kind = item.dtype.str if h5py.check_vlen_dtype(item.dtype) is None else "vlen"
            found[name] = (kind, item.shape[1:], item.maxshape, item.dtype.names)

    with h5py.File(path) as file:
        file[group].visititems(visit)
    return found


def test_images_lie_in_the_file_as_the_reference_client_puts_them(tmp_path):
    with Dataset(REFERENCE, "r", "ref") as dataset:
        images = [image for many in dataset.images().values() for image in many]
    path = tmp_path / "out.h5"
    with ImageFile(path, "ref") as file:
        for image in images:
            file.append(image)
    assert file.counts == {"image_1": 1, "image_20": 1, "image_300": 1}
    assert layout(path, "ref") == layout(REFERENCE, "ref")
    with h5py.File(path) as ours, h5py.File(REFERENCE) as theirs:
        for name in ("image_1/data", "image_20/header"):
            np.testing.assert_array_equal(ours["ref"][name][()], theirs["ref"][name][()])


def test_the_default_group_is_the_time():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", ImageFile("x.h5").group)


def test_no_image_no_file(tmp_path):
    with ImageFile(tmp_path / "out.h5"):
        pass
    assert not (tmp_path / "out.h5").exists()


def test_images_are_appended(tmp_path):
    path = tmp_path / "out.h5"
    for value in (1, 2):
        with ImageFile(path, "g") as file:
            file.append(make_image(np.full((2, 2), value, np.uint16)))
    with Dataset(path, "r", "g") as dataset:
        stored = dataset.images()["image_1"]
    assert [image.data.max() for image in stored] == [1, 2]


def test_images_of_another_size_are_kept_apart(tmp_path):
    path = tmp_path / "out.h5"
    with ImageFile(path, "g") as file:
        file.append(make_image(np.zeros((2, 2)), meta=Meta({"a": ["b"]})))
        file.append(make_image(np.zeros((3, 3))))
    assert len(file.counts) == 2
