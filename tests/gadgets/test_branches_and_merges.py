"""Stock branches and the stock merge."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ismrmrd.xsd import experimentalConditionsType, ismrmrdHeader

from elastron.gadgets.base import Context, Item, Properties
from elastron.gadgets.branching import Branch, Streams
from elastron.gadgets.fanout import AcquisitionFanout, ImageFanout, WaveformFanout
from elastron.gadgets.unordered_merge import UnorderedMerge
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch
from elastron.mrd.buffers import Bucket
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire.messages import Text

ITEMS: tuple[Item, ...] = (
    AcquisitionBatch(np.zeros(1, ACQUISITION_HEADER), np.zeros((1, 1, 1), np.complex64)),
    Bucket(),
    Waveform(np.zeros((), WAVEFORM_HEADER), np.zeros((1, 1), np.uint32)),
    Image(np.zeros((), IMAGE_HEADER), np.zeros((1, 1, 1, 1), np.float32)),
    Text("x"),
)


@pytest.fixture
def context() -> Context:
    conditions = experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000)
    return Context(header=ismrmrdHeader(experimentalConditions=conditions))


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        (AcquisitionFanout, (AcquisitionBatch, Bucket)),
        (WaveformFanout, (Waveform,)),
        (ImageFanout, (Image,)),
    ],
)
def test_a_fan_out_takes_its_kind_and_sends_it_everywhere(
    context: Context, kind: type[Branch], taken: tuple[type, ...]
) -> None:
    branch = kind(Properties(), context)
    for item in ITEMS:
        assert isinstance(item, branch.accepts) == isinstance(item, taken)
        assert list(branch.route(item, ("a", "b"))) == ["a", "b"]


class Ready(Streams):
    """Streams whose items come in a given order."""

    def __init__(self, arrivals: list[tuple[str, Item]]) -> None:
        self.arrivals = arrivals

    def __getitem__(self, key: str) -> Iterator[Item]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def as_ready(self) -> Iterator[tuple[str, Item]]:
        return iter(self.arrivals)


def test_the_unordered_merge_takes_what_comes(context: Context) -> None:
    arrivals = [("b", ITEMS[0]), ("a", ITEMS[3]), ("b", ITEMS[4])]
    merge = UnorderedMerge(Properties(), context)
    assert list(merge.merge(Ready(arrivals))) == [item for _, item in arrivals]
