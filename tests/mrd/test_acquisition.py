"""Acquisition headers, flags and batches against the standard's numbers."""

from __future__ import annotations

import ctypes
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import DataError
from elastron.mrd.acquisition import (
    ACQUISITION_HEADER,
    AcquisitionBatch,
    AcquisitionFlag,
    ReadoutDomain,
    agreed_fields,
    raw_headers,
    written_headers,
)
from elastron.mrd.counters import COUNTER_NAMES, COUNTERS, counter

with warnings.catch_warnings():
    from ismrmrd import constants
    from ismrmrd.acquisition import AcquisitionHeader, EncodingCounters


@pytest.mark.parametrize(
    ("dtype", "structure"), [(ACQUISITION_HEADER, AcquisitionHeader), (COUNTERS, EncodingCounters)]
)
def test_layout(dtype: np.dtype, structure: type[ctypes.Structure]) -> None:
    assert dtype.itemsize == ctypes.sizeof(structure)
    offsets = {name: getattr(structure, name).offset for name, _ in structure._fields_}
    assert {name: field[1] for name, field in dtype.fields.items()} == offsets


def test_flag_numbers() -> None:
    standard = {
        name.removeprefix("ACQ_"): value
        for name, value in vars(constants).items()
        if name.startswith("ACQ_") and isinstance(value, int)
    }
    for flag in AcquisitionFlag:
        assert standard[flag.name] == flag.value, flag.name
        assert int(flag.mask) == 1 << (flag.value - 1)


def make_batch() -> AcquisitionBatch:
    headers = np.zeros(3, ACQUISITION_HEADER)
    headers["flags"][1] = AcquisitionFlag.IS_NOISE_MEASUREMENT.mask
    headers["idx"]["slice"] = [4, 5, 6]
    headers["idx"]["user"][:, 7] = [7, 8, 9]
    headers["number_of_samples"], headers["active_channels"] = 8, 2
    return AcquisitionBatch(headers, np.zeros((3, 2, 8), np.complex64))


def test_flags_and_counters() -> None:
    batch = make_batch()
    noise, reverse = AcquisitionFlag.IS_NOISE_MEASUREMENT, AcquisitionFlag.IS_REVERSE
    assert batch.any_flag(noise, reverse).tolist() == [False, True, False]
    assert not batch.any_flag(reverse).any()
    assert batch.counter("slice").tolist() == [4, 5, 6]
    assert batch.counter("user_7").tolist() == [7, 8, 9]
    assert [int(counter(batch.headers, name).sum()) for name in COUNTER_NAMES].count(0) == 15
    with pytest.raises(KeyError):
        batch.counter("user_8")


@pytest.mark.parametrize("index", [slice(1, None), [2, 0], np.array([True, False, True])])
def test_select(index: object) -> None:
    batch = make_batch()
    batch = replace(batch, trajectory=np.arange(48, dtype=np.float32).reshape(3, 8, 2))
    part = batch.select(index)
    assert part.headers.dtype == ACQUISITION_HEADER
    assert part.counter("slice").tolist() == batch.counter("slice")[index].tolist()
    assert (part.trajectory == batch.trajectory[index]).all()
    assert len(part) == 2
    assert part.nbytes == 2 * (340 + 2 * 8 * 8 + 8 * 2 * 4)


def test_raw_headers_is_the_same_memory() -> None:
    headers = make_batch().headers
    assert np.shares_memory(raw_headers(headers), headers)
    copied = raw_headers(headers)[[2, 2]].view(headers.dtype)
    assert copied["idx"]["slice"].tolist() == [6, 6]


def test_agreed_fields() -> None:
    headers = make_batch().headers.copy()
    headers[:] = headers[0]
    every = agreed_fields(headers)
    assert {"flags", "idx", "slice", "user", "user_float", "version"} < every
    headers["user_float"][1, 7] = 3
    assert every - agreed_fields(headers) == {"user_float"}
    headers["idx"]["slice"][2] += 1
    assert every - agreed_fields(headers) == {"user_float", "idx", "slice"}
    assert agreed_fields(headers[:1]) == agreed_fields(headers[:0]) == every


@given(st.sampled_from(sorted(agreed_fields(np.zeros(1, ACQUISITION_HEADER)))), st.data())
def test_agreed_fields_are_those_of_equal_values(name: str, data: st.DataObject) -> None:
    rows = np.zeros((4, 2), ACQUISITION_HEADER)[:, 1]  # as on the wire: not together
    values = rows[name] if name in ACQUISITION_HEADER.names else rows["idx"][name]
    raw = data.draw(st.binary(min_size=values[0].nbytes, max_size=values[0].nbytes))
    row = data.draw(st.integers(0, 3))
    values[row] = np.frombuffer(raw, values.dtype).reshape(values[row].shape)
    assert (name in agreed_fields(rows)) == (not any(raw))


def test_written_headers() -> None:
    batch = make_batch()
    assert written_headers(batch) is batch.headers
    shorter = replace(batch, data=batch.data[..., :5])
    assert set(written_headers(shorter)["number_of_samples"]) == {5}
    assert set(batch.headers["number_of_samples"]) == {8}
    with pytest.raises(DataError, match="65535"):
        written_headers(replace(batch, data=np.zeros((3, 1, 65536), np.complex64)))
    with pytest.raises(DataError, match="transformed"):
        written_headers(replace(batch, readout_domain=ReadoutDomain.IMAGE))


def test_runs_are_cut_where_any_value_changes_and_share_memory():
    headers = np.zeros(6, ACQUISITION_HEADER)
    headers["scan_counter"] = np.arange(6)
    batch = AcquisitionBatch(headers, np.zeros((6, 1, 4), np.complex64))
    runs = list(batch.runs(np.array([0, 0, 1, 1, 1, 0]), np.array([5, 5, 5, 6, 6, 6])))
    assert [r.headers["scan_counter"].tolist() for r in runs] == [[0, 1], [2], [3, 4], [5]]
    assert all(np.shares_memory(r.data, batch.data) for r in runs)
    assert next(batch.runs(np.zeros(6))) is batch
    assert list(batch.select(slice(0, 0)).runs(np.zeros(0))) == []
