"""How distributors cut a scan, and when a part looks complete."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ismrmrd.xsd import limitType

from elastron.gadgets.acquisition_distributor import (
    AcquisitionDistributor,
    AcquisitionDistributorProperties,
)
from elastron.gadgets.base import Context
from elastron.gadgets.buffer_distributor import BufferDistributor
from elastron.gadgets.distribution import DistributorProperties
from elastron.mrd.acquisition import ACQUISITION_HEADER, AcquisitionBatch, AcquisitionFlag
from elastron.mrd.buffers import DataBuffered, ReconBit, ReconData, Sampling, SamplingLimit
from elastron.recon.phantom_scan import PhantomSettings, phantom_acquisitions


def distributor(dimension: str = "slice", **limits: int) -> AcquisitionDistributor:
    """For a scan whose header announces these highest counters."""
    header, _ = phantom_acquisitions(PhantomSettings(matrix=8, coils=1))
    for name, maximum in limits.items():
        setattr(
            header.encoding[0].encodingLimits, name, limitType(minimum=0, maximum=maximum, center=0)
        )
    properties = AcquisitionDistributorProperties.model_validate({"parallel_dimension": dimension})
    return AcquisitionDistributor(properties, Context(header=header))


def batch(slices: list[int], *flags: AcquisitionFlag, **counters: int) -> AcquisitionBatch:
    """Readouts of these slices; the last one has the flags."""
    headers = np.zeros(len(slices), ACQUISITION_HEADER)
    headers["scan_counter"] = np.arange(len(slices))
    headers["idx"]["slice"] = slices
    for name, value in counters.items():
        headers["idx"][name] = value
    for flag in flags:
        headers["flags"][-1] |= flag.mask
    return AcquisitionBatch(headers, np.zeros((len(slices), 1, 4), np.complex64))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_each_readout_is_in_its_part_and_in_order(slices: list[int]) -> None:
    parts = list(distributor().split(batch(slices)))
    assert [key for key, _ in parts] == list(dict.fromkeys(slices))
    for key, part in parts:
        assert (part.counter("slice") == key).all()
        expected = [i for i, each in enumerate(slices) if each == key]
        assert part.headers["scan_counter"].tolist() == expected


def test_a_batch_of_one_part_is_itself() -> None:
    whole = batch([3, 3, 3])
    ((key, part),) = distributor().split(whole)
    assert key == 3
    assert part is whole


SLICE_ENDS = AcquisitionFlag.LAST_IN_SLICE
REPETITION_ENDS = AcquisitionFlag.LAST_IN_REPETITION


@pytest.mark.parametrize(
    ("dimension", "limits", "last", "complete"),
    [
        ("slice", {}, batch([0], SLICE_ENDS), True),
        ("slice", {}, batch([0]), False),
        ("slice", {}, batch([0], REPETITION_ENDS), False),
        # Slices come again in each repetition.
        ("slice", {"repetition": 2}, batch([0], SLICE_ENDS, repetition=1), False),
        ("slice", {"repetition": 2}, batch([0], SLICE_ENDS, repetition=2), True),
        ("slice", {"repetition": 2, "phase": 4}, batch([0], SLICE_ENDS, repetition=2), False),
        ("repetition", {"repetition": 9}, batch([0], REPETITION_ENDS, repetition=3), True),
        ("repetition", {}, batch([0], SLICE_ENDS), True),
        ("repetition", {"slice": 3}, batch([0], SLICE_ENDS), False),
        ("repetition", {"slice": 3}, batch([0], REPETITION_ENDS), True),
        ("user_1", {}, batch([0], SLICE_ENDS, REPETITION_ENDS), False),
    ],
)
def test_what_looks_complete(
    dimension: str, limits: dict[str, int], last: AcquisitionBatch, complete: bool
) -> None:
    assert distributor(dimension, **limits).completes(last) is complete


def test_encoding_spaces_are_parts() -> None:
    sampling = Sampling((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1), (SamplingLimit(),) * 3)
    data = DataBuffered(
        np.zeros((1,) * 7, np.complex64), np.zeros((1,) * 5, ACQUISITION_HEADER), sampling
    )
    first, second = ReconBit(data), ReconBit(data)
    header, _ = phantom_acquisitions(PhantomSettings(matrix=8, coils=1))
    made = BufferDistributor(DistributorProperties(), Context(header=header))
    item = ReconData([first, second])
    assert [(key, part.bits) for key, part in made.split(item)] == [(0, [first]), (1, [second])]  # type: ignore[union-attr]
    assert not made.completes(item)
