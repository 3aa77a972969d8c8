"""Hypothesis strategies for every message, and equality of messages that hold arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elastron.mrd.acquisition import (
    ACQUISITION_HEADER,
    AcquisitionBatch,
    AcquisitionFlag,
)
from elastron.mrd.buffers import (
    STATISTICS_COUNTERS,
    Bucket,
    BucketStatistics,
    DataBuffered,
    ImageArray,
    ReconBit,
    ReconData,
    Sampling,
    SamplingLimit,
)
from elastron.mrd.image import IMAGE_HEADER, Image, ImageDataType
from elastron.mrd.meta import Meta
from elastron.mrd.waveform import WAVEFORM_HEADER, Waveform
from elastron.wire import messages

COMPRESSION = AcquisitionFlag.COMPRESSION1.mask | AcquisitionFlag.COMPRESSION2.mask

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
xml = st.binary(max_size=40)
uint64 = st.integers(0, 2**64 - 1)
small = st.integers(0, 3)


def _random(seed: int, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Arbitrary bytes as an array; every bit pattern, NaN too, must travel unchanged."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape)) * dtype.itemsize
    return rng.integers(0, 256, count, np.uint8).view(dtype).reshape(shape)


seeds = st.integers(0, 2**32 - 1)


@st.composite
def batches(draw: st.DrawFn, rows_max: int = 4) -> AcquisitionBatch:
    n, channels, samples = draw(st.integers(1, rows_max)), draw(small), draw(st.integers(0, 5))
    dimensions = draw(st.sampled_from([0, 0, 1, 2]))
    headers = _random(draw(seeds), ACQUISITION_HEADER, (n,))
    headers["flags"] &= ~(COMPRESSION | np.uint64(3 << 54))
    headers["number_of_samples"] = samples
    headers["active_channels"] = channels
    headers["trajectory_dimensions"] = dimensions
    return AcquisitionBatch(
        headers=headers,
        data=_random(draw(seeds), np.dtype("<c8"), (n, channels, samples)),
        trajectory=_random(draw(seeds), np.dtype("<f4"), (n, samples, dimensions))
        if dimensions
        else None,
    )


@st.composite
def waveforms(draw: st.DrawFn) -> Waveform:
    header = np.zeros((), WAVEFORM_HEADER)
    for name in WAVEFORM_HEADER.names or ():
        header[name] = draw(hnp.from_dtype(WAVEFORM_HEADER[name], allow_nan=False))
    shape = (draw(small), draw(st.integers(0, 5)))
    header["channels"], header["number_of_samples"] = shape
    return Waveform(header, _random(draw(seeds), np.dtype("<u4"), shape))


values = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"
    ),
    max_size=10,
)
some_values = st.lists(values.filter(bool), min_size=1, max_size=3)
metas = st.builds(Meta, st.dictionaries(values.filter(bool), some_values, max_size=3))


@st.composite
def images(draw: st.DrawFn, types: Sequence[ImageDataType] = tuple(ImageDataType)) -> Image:
    header = _random(draw(seeds), IMAGE_HEADER, ())
    shape = tuple(draw(st.tuples(*[st.integers(0, 3)] * 4)))
    dtype = draw(st.sampled_from(types)).dtype
    meta = draw(metas)
    xml_bytes = len(meta.to_xml()) + 1 if meta else 0
    header["data_type"] = ImageDataType.of(dtype)
    header["channels"], header["matrix_size"] = shape[0], shape[:0:-1]
    header["attribute_string_len"] = xml_bytes
    return Image(header, _random(draw(seeds), dtype, shape), meta)


def _arrays(dtype: Any, axes: int) -> st.SearchStrategy[np.ndarray]:
    return st.builds(
        _random, seeds, st.just(np.dtype(dtype)), st.tuples(*[st.integers(1, 2)] * axes)
    )


uint16 = st.integers(0, 65535)
floats = st.floats(width=32, allow_nan=False)
triples = st.tuples(uint16, uint16, uint16)
fovs = st.tuples(floats, floats, floats)
limits = st.builds(SamplingLimit, uint16, uint16, uint16)
samplings = st.builds(Sampling, fovs, fovs, triples, triples, st.tuples(limits, limits, limits))
buffered = st.builds(
    DataBuffered,
    data=_arrays("<c8", 7),
    headers=_arrays(ACQUISITION_HEADER, 5),
    sampling=samplings,
    trajectory=st.none() | _arrays("<f4", 7),
    density=st.none() | _arrays("<f4", 6),
)
recon_data = st.builds(
    ReconData, st.lists(st.builds(ReconBit, buffered, st.none() | buffered), max_size=2)
)
image_arrays = st.builds(
    ImageArray,
    data=_arrays("<c8", 7),
    headers=_arrays(IMAGE_HEADER, 3),
    meta=st.lists(metas, max_size=2),
    waveforms=st.none() | st.lists(waveforms(), max_size=2),
    acquisition_headers=st.none() | _arrays(ACQUISITION_HEADER, 5),
)
statistics = st.lists(
    st.builds(
        BucketStatistics,
        st.fixed_dictionaries({name: st.sets(uint16, max_size=3) for name in STATISTICS_COUNTERS}),
    ),
    max_size=2,
)
buckets = st.builds(
    Bucket,
    data=st.lists(batches(), max_size=2),
    reference=st.lists(batches(), max_size=2),
    data_statistics=statistics,
    reference_statistics=statistics,
    waveforms=st.lists(waveforms(), max_size=2),
)

control = st.one_of(
    st.builds(messages.ConfigName, words),
    st.builds(messages.ConfigXml, xml),
    st.builds(messages.HeaderXml, xml),
    st.builds(messages.Text, words),
    st.builds(messages.Query, words, uint64, uint64),
    st.builds(messages.Response, words, uint64),
    st.builds(messages.Error, words),
)
data = st.one_of(
    batches(),
    waveforms(),
    images(),
    recon_data,
    image_arrays,
    buckets,
    st.builds(messages.DependencyQuery, metas),
    st.builds(messages.DicomWithName, xml, words, xml),
)
#: Any message but CLOSE, after which nothing is read.
any_message = control | data


def join(items: list[Any]) -> list[Any]:
    """Messages with neighbouring acquisitions of one shape as one batch."""
    joined: list[Any] = []
    for item in items:
        last = joined[-1] if joined else None
        if (
            isinstance(item, AcquisitionBatch)
            and isinstance(last, AcquisitionBatch)
            and _shape(last) == _shape(item)
        ):
            joined[-1] = AcquisitionBatch(
                headers=np.concatenate([last.headers, item.headers]),
                data=np.concatenate([last.data, item.data]),
                trajectory=None
                if last.trajectory is None or item.trajectory is None
                else np.concatenate([last.trajectory, item.trajectory]),
            )
        else:
            joined.append(item)
    return joined


def _shape(batch: AcquisitionBatch) -> tuple[int, ...]:
    return (
        *batch.data.shape[1:],
        *(batch.trajectory.shape[2:] if batch.trajectory is not None else ()),
    )


def equal(a: Any, b: Any) -> bool:
    """Equality down to the last bit; a bucket's batches as runs."""
    if isinstance(a, Bucket) and isinstance(b, Bucket):
        a = dataclasses.replace(a, data=join(a.data), reference=join(a.reference))
        b = dataclasses.replace(b, data=join(b.data), reference=join(b.reference))
    if isinstance(a, np.ndarray) and a.dtype == WAVEFORM_HEADER:
        return a.item() == b.item()  # between its fields lies padding of any content
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (
            b.dtype,
            b.shape,
            b.tobytes(),
        )
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(
            equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)
        )
    return a == b
