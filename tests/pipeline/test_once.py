"""Results of a second attempt: what was put out before is left out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.pipeline.once import Once
from elastron.wire.messages import Text

from .data import batch


def image(index: int, value: float = 0) -> Image:
    header = np.zeros((), IMAGE_HEADER)
    header["image_index"] = index
    return Image(header, np.full((1, 1, 1, 1), value, np.float32))


@given(st.lists(st.integers(0, 3)), st.data())
def test_each_result_goes_out_once(indices: list[int], data: st.DataObject) -> None:
    once = Once()
    done = data.draw(st.integers(0, len(indices)))
    for index in indices[:done]:
        once.put_out(image(index))
    once.again()
    # Another machine's pixels may differ in the last bit, and its order may.
    order = data.draw(st.permutations(indices))
    new = [each for index in order if (each := once.new(image(index, 1))) is not None]
    put_out = sorted(indices[:done] + [int(each.header["image_index"]) for each in new])  # type: ignore[union-attr]
    assert put_out == sorted(indices)


def test_batches_are_counted_by_readouts_however_cut() -> None:
    once = Once()
    once.put_out(batch(0))
    once.put_out(batch(1))
    once.again()
    headers = np.concatenate([batch(i).headers for i in range(4)])
    new = once.new(AcquisitionBatch(headers, np.zeros((4, 1, 4), np.complex64)))
    assert isinstance(new, AcquisitionBatch)
    assert new.headers["scan_counter"].tolist() == [2, 3]
    assert once.new(batch(0)) is not None


def test_other_kinds_and_a_first_attempt() -> None:
    once = Once()
    assert once.new(Text("a")) == Text("a")
    once.put_out(Text("a"))
    once.again()
    assert once.new(Text("b")) == Text("b")
    assert once.new(Text("a")) is None
    assert once.new(Text("a")) == Text("a")
