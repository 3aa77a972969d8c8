"""Agreement with the C++ Gadgetron 4.7.2: every reference file, made by the stock chains.

`<scan>__<config>.h5` holds what the original made of a scan; `_float` is the same chain without
its conversion to 16 bit. Magnitudes are compared on their absolute scale.

Ours differ by intent for partial Fourier scans without parallel imaging: the original sizes its
buffer by the number of lines the header announces, but places lines by their distance from the
centre, so that the lines beyond that size are dropped. Here none is, and our images are shown to be
closer to the fully sampled scan's.
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
from elastron.mrd.meta import Meta
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
TOLERANCE_GRAPPA = 1e-3

#: Ours differ by intent: scan -> the scan whose images are the truth.
TRUTHS = {"brain_pf6_8": "brain_full"}
#: Of the time at which the centre of the original's own k-space was acquired.
CENTER_FIELDS = {"acquisition_time_stamp", "acquisition_time_range"}

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


def with_property(config: Config, classname: str, name: str, value: str) -> Config:
    """The config with a property of the gadgets of a class set."""
    nodes = tuple(
        replace(node, properties={**node.properties, name: value})
        if isinstance(node, GadgetNode) and node.classname == classname
        else node
        for node in config.stream.nodes
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


def relative_difference(mine: Image, reference: Image) -> float:
    """Of magnitudes, L2."""
    expected = np.abs(reference.data).astype(float)
    difference = np.linalg.norm(np.abs(mine.data).astype(float) - expected)
    return float(difference / np.linalg.norm(expected))


def skipped(path: Path) -> set[str]:
    """Header fields and attributes that differ by intent."""
    return CENTER_FIELDS if case(path)[0] in TRUTHS else set()


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
        for name in (name for name in EXACT_FIELDS if name not in skipped(path)):
            np.testing.assert_array_equal(
                mine.header[name], reference.header[name], f"{name}, {where}"
            )
        for name in CLOSE_FIELDS:
            np.testing.assert_allclose(
                mine.header[name], reference.header[name], rtol=1e-5, atol=1e-5,
                err_msg=f"{name}, {where}",
            )  # fmt: skip


def close(mine: str, reference: str) -> bool:
    """The same text, or the same number as far as the original prints it."""
    try:
        return bool(np.isclose(float(mine), float(reference), rtol=1e-4, atol=1e-6))
    except ValueError:
        return mine == reference


@each_reference
def test_same_attributes(path: Path) -> None:
    for _, mine, reference in pairs(path):
        if not reference.meta:
            assert not mine.meta
            continue
        written = Meta.from_xml(mine.meta.to_xml())
        assert set(written) == set(reference.meta)
        for name in set(written) - skipped(path) - {"gadgetron_sha1"}:
            values = [list(map(str, meta[name])) for meta in (written, reference.meta)]
            assert len(values[0]) == len(values[1]), name
            assert all(map(close, *values)), (name, *values)


@pytest.mark.parametrize(
    "path", [path for path in REFERENCES if case(path)[0] not in TRUTHS], ids=lambda path: path.stem
)
def test_same_magnitudes_on_the_absolute_scale(path: Path) -> None:
    tolerance = TOLERANCES.get(case(path)[1], TOLERANCE_GRAPPA)
    for series, mine, reference in pairs(path):
        assert mine.data.shape == reference.data.shape
        assert mine.data.dtype == reference.data.dtype
        # Rounding to whole numbers: half a step in each pixel.
        is_rounded = reference.data.dtype.kind == "u"
        rounding = 0.5 / np.sqrt(np.mean(np.square(reference.data, dtype=float))) * is_rounded
        difference = relative_difference(mine, reference)
        assert difference <= tolerance + rounding, f"series {series}"


@pytest.mark.parametrize(
    "path", [path for path in REFERENCES if case(path)[0] in TRUTHS], ids=lambda path: path.stem
)
def test_where_ours_differ_they_are_closer_to_the_truth(path: Path) -> None:
    scan, config, _ = case(path)
    (truth,) = theirs(path.with_name(f"{TRUTHS[scan]}__{config}_float.h5"))[1]
    ((_, mine, reference),) = pairs(path)
    assert relative_difference(mine, truth) < 0.75 * relative_difference(reference, truth)


@pytest.mark.parametrize(
    "path", [path for path in REFERENCES if case(path)[0] in TRUTHS], ids=lambda path: path.stem
)
def test_where_ours_differ_the_originals_rule_gives_the_originals_images(path: Path) -> None:
    scan, name, is_float = case(path)
    config = load_config(f"{name}.xml")
    if is_float:
        config = without(config, "FloatToUShortGadget")
    config = with_property(config, "BucketToBufferGadget", "lines_by_limits", "true")
    (mine,) = reconstruct(SCANS[scan], config)
    ((_, _, reference),) = pairs(path)
    tolerance = TOLERANCES.get(name, TOLERANCE_GRAPPA)
    assert relative_difference(mine, reference) <= tolerance
    for field in EXACT_FIELDS:
        np.testing.assert_array_equal(mine.header[field], reference.header[field], field)
