"""However the network cuts a stream into batches, the images have the same bits.

A scan that is replayed on another node comes in other pieces; its images must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from elastron.gadgets.base import Context, Item
from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.dataset import Dataset
from elastron.pipeline import build, load_config
from elastron.wire import encode

DATA = Path(__file__).parents[1] / "data"
CASES = [
    ("default.xml", "brain_full.h5"),
    ("default_optimized.xml", "brain_full.h5"),
    ("Generic_Cartesian_FFT.xml", "brain_full.h5"),
    ("Generic_Cartesian_Grappa.xml", "brain_pf6_8.h5"),
    ("Generic_Cartesian_Grappa_SNR.xml", "brain_R2_reps10.h5"),
    ("Generic_Cartesian_Grappa_T2W.xml", "brain_pf6_8.h5"),
    ("grappa_cpu.xml", "brain_full.h5"),
]


def pieces(items: list[Item], seed: int | None) -> Iterator[Item]:
    """The items, batches cut at random places."""
    rng = np.random.default_rng(seed)
    for item in items:
        if seed is None or not isinstance(item, AcquisitionBatch):
            yield item
            continue
        count = len(item)
        cuts = np.unique(rng.integers(0, count + 1, 1 + int(rng.integers(0, 8))))
        edges = sorted({0, count, *cuts.tolist()})
        for start, stop in pairwise(edges):
            yield item.select(slice(start, stop))


def images(config: str, path: Path, seed: int | None) -> list[bytes]:
    with Dataset(path) as dataset:
        context = Context(header=dataset.header)
        items: list[Item] = list(dataset.items())
    chain = build(load_config(config), context)
    return [b"".join(map(bytes, encode(image))) for image in chain(pieces(items, seed))]


@pytest.mark.parametrize(("config", "name"), CASES)
def test_images_do_not_depend_on_cuts(config: str, name: str) -> None:
    whole = images(config, DATA / name, None)
    assert whole
    for seed in (1, 2):
        assert images(config, DATA / name, seed) == whole
