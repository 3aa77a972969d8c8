"""Agreement with the C++ Gadgetron 4.7.2: every reference file, made by the stock chains.

`<scan>__<config>.h5` holds what the original made of a scan; `_float` is the same chain without
its conversion to 16 bit. Magnitudes are compared on their absolute scale.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from elastron.mrd.dataset import Dataset
from elastron.mrd.image import Image
from elastron.pipeline import Config, load_config, reconstruct
from elastron.pipeline.config import GadgetNode

ROOT = Path(__file__).parent
REFERENCES = sorted((ROOT / "data" / "reference").glob("*.h5"))
SCANS = {
    path.stem: path
    for folder in (ROOT / "data", ROOT.parent / "examples")
    for path in folder.glob("*.h5")
}

#: Largest relative L2 difference of magnitudes.
TOLERANCES = {"default": 1e-4, "Generic_Cartesian_FFT": 1e-4}
TOLERANCE_GRAPPA = 2e-2

EXACT_FIELDS = (
    "matrix_size", "channels", "data_type", "measurement_uid",
    "average", "slice", "contrast", "phase", "repetition", "set",
    "acquisition_time_stamp", "physiology_time_stamp",
    "image_type", "image_index", "image_series_index",
)  # fmt: skip
CLOSE_FIELDS = (
    "field_of_view", "position", "read_dir", "phase_dir", "slice_dir", "patient_table_position",
)  # fmt: skip


def case(path: Path) -> tuple[str, str, bool]:
    """Scan, config and whether the conversion to 16 bit is left out."""
    scan, _, config = path.stem.partition("__")
    return scan, config.removesuffix("_float"), config.endswith("_float")


def without(config: Config, classname: str) -> Config:
    """The config without the gadgets of a class."""
    nodes = tuple(
        node
        for node in config.stream.nodes
        if not (isinstance(node, GadgetNode) and node.classname == classname)
    )
    return replace(config, stream=replace(config.stream, nodes=nodes))


@cache
def ours(path: Path) -> dict[int, list[Image]]:
    """Our images by series."""
    scan, name, is_float = case(path)
    config = load_config(f"{name}.xml")
    if is_float:
        config = without(config, "FloatToUShortGadget")
    series = defaultdict(list)
    for image in reconstruct(SCANS[scan], config):
        series[int(image.header["image_series_index"])].append(image)
    return dict(series)


@cache
def theirs(path: Path) -> dict[int, list[Image]]:
    """The original's images by series."""
    with Dataset(path, group="ref") as dataset:
        return {
            int(images[0].header["image_series_index"]): images
            for images in dataset.images().values()
        }


def pairs(path: Path) -> list[tuple[int, Image, Image]]:
    """(series, ours, the original's), in order."""
    assert set(ours(path)) == set(theirs(path))
    return [
        (series, mine, reference)
        for series, references in theirs(path).items()
        for mine, reference in zip(ours(path)[series], references, strict=True)
    ]


each_reference = pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.stem)


@each_reference
def test_same_number_of_images_in_each_series(path: Path) -> None:
    assert {series: len(images) for series, images in ours(path).items()} == {
        series: len(images) for series, images in theirs(path).items()
    }


@each_reference
def test_same_headers(path: Path) -> None:
    for series, mine, reference in pairs(path):
        where = f"series {series}, image {int(reference.header['image_index'])}"
        for name in EXACT_FIELDS:
            np.testing.assert_array_equal(
                mine.header[name], reference.header[name], f"{name}, {where}"
            )
        for name in CLOSE_FIELDS:
            np.testing.assert_allclose(
                mine.header[name], reference.header[name], rtol=1e-5, atol=1e-5,
                err_msg=f"{name}, {where}",
            )  # fmt: skip


@each_reference
def test_same_magnitudes_on_the_absolute_scale(path: Path) -> None:
    tolerance = TOLERANCES.get(case(path)[1], TOLERANCE_GRAPPA)
    for series, mine, reference in pairs(path):
        assert mine.data.shape == reference.data.shape
        assert mine.data.dtype == reference.data.dtype
        expected = np.abs(reference.data).astype(float)
        difference = float(np.linalg.norm(np.abs(mine.data).astype(float) - expected))
        # Rounding to whole numbers: half a step in each pixel.
        rounding = 0.5 * expected.size**0.5 if reference.data.dtype.kind == "u" else 0.0
        allowed = tolerance * float(np.linalg.norm(expected)) + rounding
        relative = difference / float(np.linalg.norm(expected))
        assert difference <= allowed, f"series {series}: relative difference {relative:.3g}"
