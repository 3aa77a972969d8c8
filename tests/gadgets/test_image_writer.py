"""Images as plain binary files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ismrmrd.xsd import experimentalConditionsType, ismrmrdHeader

from elastron.gadgets.base import Context, Gadget, Properties
from elastron.gadgets.image_writer import (
    ImageWriterGadgetCPLX,
    ImageWriterGadgetFLOAT,
    ImageWriterGadgetUSHORT,
)
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.wire.messages import Text

HEADER = ismrmrdHeader(
    experimentalConditions=experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000)
)


def image(dtype: type) -> Image:
    return Image(np.zeros((), IMAGE_HEADER), np.arange(24).reshape(1, 2, 3, 4).astype(dtype))


KINDS = [
    (ImageWriterGadgetCPLX, np.complex64, "cplx"),
    (ImageWriterGadgetFLOAT, np.float32, "real"),
    (ImageWriterGadgetUSHORT, np.uint16, "short"),
]


@pytest.mark.parametrize(("kind", "dtype", "suffix"), KINDS)
def test_lengths_then_pixels(tmp_path: Path, kind: type[Gadget], dtype: type, suffix: str) -> None:
    context = Context(header=HEADER, parameters={"dump_folder": str(tmp_path)})
    items = [image(dtype), image(np.float64), Text("x"), image(dtype)]
    assert list(kind(Properties(), context)(items)) == items
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"out_00000.{suffix}", f"out_00001.{suffix}"]
    raw = (tmp_path / names[0]).read_bytes()
    np.testing.assert_array_equal(np.frombuffer(raw[:20], "<i4"), [4, 4, 3, 2, 1])
    np.testing.assert_array_equal(np.frombuffer(raw[20:], dtype), np.arange(24))


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    context = Context(header=HEADER, parameters={"dump_folder": str(tmp_path)})
    for _ in range(2):
        list(ImageWriterGadgetFLOAT(Properties(), context)([image(np.float32)]))
    assert {path.name for path in tmp_path.iterdir()} == {"out_00000.real", "out_00000_2.real"}


def test_without_a_dump_folder_images_only_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    items = [image(np.float32)]
    assert list(ImageWriterGadgetFLOAT(Properties(), Context(header=HEADER))(items)) == items
    assert list(tmp_path.iterdir()) == []
