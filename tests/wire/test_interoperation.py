"""The `ismrmrd` package's own stream reader and writer, byte for byte."""

from __future__ import annotations

import io
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.mrd.acquisition import AcquisitionBatch
from elastron.mrd.dataset import Dataset
from elastron.mrd.header import parse_header
from elastron.mrd.image import Image, ImageDataType
from elastron.mrd.waveform import Waveform
from elastron.wire import Decoder, encode
from elastron.wire import messages as m

from .strategies import batches, equal, images, join, values, waveforms, words

with warnings.catch_warnings():
    import ismrmrd
    from ismrmrd.serialization import (
        ConfigFile,
        ConfigText,
        ProtocolDeserializer,
        ProtocolSerializer,
    )

#: The package reads and writes INT as 64 bits wide, which no other software does.
TYPES = [code for code in ImageDataType if code is not ImageDataType.INT]
SCAN = "tests/data/phantom_gre2d_2ch_full_2xos.h5"

ours = st.one_of(
    batches(),
    waveforms(),
    images(types=TYPES),
    st.builds(m.ConfigName, values),
    st.builds(m.ConfigXml, values.map(str.encode)),
    st.builds(m.Text, words),
)


def our_bytes(items: list[Any]) -> bytes:
    return b"".join(bytes(buffer) for item in items for buffer in encode(item))


def our_reading(stream: bytes, cuts: list[int]) -> list[Any]:
    decoder = Decoder()
    found: list[Any] = []
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, stop in pairwise(edges):
        decoder.feed(stream[start:stop])
        found.extend(decoder.messages())
    decoder.eof()
    return found


def theirs_of(item: Any) -> list[Any]:
    """Our message as the package's objects."""
    if isinstance(item, AcquisitionBatch):
        empty = np.zeros((item.data.shape[2], 0), np.float32)
        return [
            ismrmrd.Acquisition(
                item.headers[i].tobytes(),
                item.data[i],
                empty if item.trajectory is None else item.trajectory[i],
            )
            for i in range(len(item))
        ]
    if isinstance(item, Waveform):
        return [ismrmrd.Waveform(item.header.tobytes(), item.data)]
    if isinstance(item, Image):
        image = ismrmrd.Image(item.header.tobytes(), item.meta.to_xml().decode())
        image.data[:] = item.data
        return [image]
    if isinstance(item, m.ConfigName):
        return [ConfigFile(item.name)]
    if isinstance(item, m.ConfigXml):
        return [ConfigText(item.xml.decode())]
    return [item.text]


def their_bytes(items: list[Any], *, close: bool = True) -> bytes:
    stream = io.BytesIO()
    writer = ProtocolSerializer(stream)
    for item in items:
        writer.serialize(item)
    if close:
        writer.close()
    return stream.getvalue()


@given(st.lists(ours, max_size=5), st.lists(st.integers(0, 1 << 16), max_size=6))
def test_we_read_what_it_writes(items: list[Any], cuts: list[int]) -> None:
    theirs = [part for item in items for part in theirs_of(item)]
    *found, close = our_reading(their_bytes(theirs), cuts)
    assert close == m.Close()
    for a, b in zip(join(found), join(items), strict=True):
        if isinstance(a, Image):
            # The package writes no NUL behind the attributes; their length differs by it.
            a.header["attribute_string_len"] = b.header["attribute_string_len"]
        assert equal(a, b)


@given(st.lists(ours, max_size=5))
def test_it_reads_what_we_write(items: list[Any]) -> None:
    reader = ProtocolDeserializer(io.BytesIO(our_bytes([*items, m.Close()])))
    found = list(reader.deserialize())
    expected = [part for item in items for part in theirs_of(item)]
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert type(a) is type(b)
        if isinstance(a, str):
            assert a == b
            continue
        assert a.data.tobytes() == b.data.tobytes()
        head = bytes(a.getHead())
        if isinstance(a, ismrmrd.Image):
            assert a.meta == b.meta
            head = head[:194] + bytes(b.getHead())[194:]
        if isinstance(a, ismrmrd.Acquisition):
            assert a.traj.tobytes() == b.traj.tobytes()
        if not isinstance(a, ismrmrd.Waveform):
            assert head == bytes(b.getHead())


@given(
    st.lists(
        st.one_of(
            batches(),
            waveforms(),
            images(types=TYPES).filter(lambda image: not image.meta),
            st.builds(m.ConfigName, values),
            st.builds(m.ConfigXml, values.map(str.encode)),
            st.builds(m.Text, words),
        ),
        max_size=4,
    )
)
def test_the_same_bytes(items: list[Any]) -> None:
    theirs = [part for item in items for part in theirs_of(item)]
    for item in items:
        if isinstance(item, Waveform):
            return  # its header's padding is arbitrary
    assert our_bytes([*items, m.Close()]) == their_bytes(theirs)


def test_a_whole_scan() -> None:
    with Dataset(SCAN) as dataset:
        xml, batch = dataset.header_xml, join(list(dataset.acquisition_batches()))[0]
    header = ismrmrd.xsd.CreateFromDocument(xml)
    theirs = their_bytes([header, *theirs_of(batch)])
    found_header, *found = our_reading(theirs, [1000, 100_000])
    assert parse_header(found_header.xml) == header
    assert equal(join(found[:-1])[0], batch)
    assert our_bytes([found_header, *found]) == theirs
    head, *acquisitions = ProtocolDeserializer(io.BytesIO(theirs)).deserialize()
    assert head == header
    assert len(acquisitions) == len(batch)


@pytest.mark.parametrize("cut", [1, 5, 100, 400])
def test_its_stream_cut_short(cut: int) -> None:
    batch = AcquisitionBatch(
        np.zeros(1, ismrmrd.hdf5.acquisition_header_dtype), np.zeros((1, 0, 0), np.complex64)
    )
    stream = their_bytes([*theirs_of(batch), "text" * 30], close=False)
    with pytest.raises(Exception, match="went away"):
        our_reading(stream[:-cut] if cut < len(stream) else stream[:1], [])
