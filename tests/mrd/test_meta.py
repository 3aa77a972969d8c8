"""Image attributes: libismrmrd's XML, byte for byte."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import DataError
from elastron.mrd.meta import META_TAGS_MAX, Meta

with warnings.catch_warnings():
    import ismrmrd

REFERENCE = sorted(Path("tests/data/reference").glob("*.h5"))

text = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
)


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_the_reference_s_attributes_are_written_as_they_were(path: Path) -> None:
    with h5py.File(path) as file:
        documents = [xml for group in file["ref"].values() for xml in group["attributes"][:]]
    for xml in documents:
        meta = Meta.from_xml(xml)
        assert meta.to_xml() == xml
        if xml:
            assert meta["GADGETRON_DataRole"]


@given(st.dictionaries(text.filter(bool), st.lists(text, min_size=1, max_size=4), max_size=5))
def test_round_trip(content: dict[str, list[str]]) -> None:
    meta = Meta(content)
    again = Meta.from_xml(meta.to_xml())
    assert again == meta
    assert list(again) == sorted(meta)


@given(
    st.dictionaries(
        text.filter(str.strip), st.lists(text.filter(bool), min_size=1, max_size=3), max_size=4
    )
)
def test_the_ismrmrd_package_reads_it_and_we_read_the_package(content: dict) -> None:
    theirs = ismrmrd.Meta.deserialize(Meta(content).to_xml())
    assert theirs == {name: v[0] if len(v) == 1 else v for name, v in content.items()}
    assert Meta.from_xml(theirs.serialize()) == content


def test_numbers_are_written_as_c_plus_plus_streams_write_them() -> None:
    meta = Meta()
    meta.put("x", 1.0, 0.1, 3.42285e-08, 1234567.0, np.float32(0.5), 7, np.int64(10**12), True)
    values = Meta.from_xml(meta.to_xml())["x"]
    assert values == ["1", "0.1", "3.42285e-08", "1.23457e+06", "0.5", "7", "1000000000000", "1"]


def test_characters_that_xml_cannot_hold_are_left_out() -> None:
    meta = Meta()
    meta.put("a\0b", "1\x01\x0b2\ud8003\r\n\t<&>")
    assert Meta.from_xml(meta.to_xml()) == {"ab": ["123\r\n\t<&>"]}


@pytest.mark.parametrize("empty", [b"", b"\0", " \n\0", b"<ismrmrdMeta/>"])
def test_nothing(empty: bytes | str) -> None:
    assert Meta.from_xml(empty) == {}
    assert Meta().to_xml() == b""


def test_values_of_one_name_are_joined() -> None:
    entry = "<meta><name>a</name><value>{}</value></meta>"
    xml = f"<ismrmrdMeta>{entry.format(1)}<note/>{entry.format('')}</ismrmrdMeta>"
    assert Meta.from_xml(xml + "\0") == {"a": ["1", ""]}


def test_values() -> None:
    meta = Meta()
    meta.add("a", 1, 2)
    meta.add("a", 3)
    copied = meta.copy()
    copied.add("a", 4)
    assert meta == {"a": [1, 2, 3]}
    assert meta.first("a") == 1
    assert meta.first("b", 5) == 5
    meta.put("a", "x")
    assert meta.first("a") == "x"


@pytest.mark.parametrize(
    ("xml", "what"),
    [
        ("<ismrmrdMeta>", "not ISMRMRD meta XML"),
        ("text", "not ISMRMRD meta XML"),
        ("<other/>", "<other>"),
        ("<ismrmrdMeta><meta><value>1</value></meta></ismrmrdMeta>", "Malformed"),
        ("<ismrmrdMeta><meta><name>1</name></meta></ismrmrdMeta>", "Malformed"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><ismrmrdMeta>&b;</ismrmrdMeta>', "DTD"),
        ("<a>" * (META_TAGS_MAX + 1), "tags"),
    ],
)
def test_what_is_refused(xml: str, what: str) -> None:
    with pytest.raises(DataError, match=what):
        Meta.from_xml(xml)
