"""A log that grows, is cut, moved and emptied."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from elastron.node.beside.log import GadgetronLog

from .stand_in import line

SCAN = b"".join(line(state) for state in ("CONFIG", "HEADER", "STREAM", "FINISHED"))


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gadgetron.log"


def test_what_was_there_before_counts(path: Path) -> None:
    log = GadgetronLog(path, 1 << 20)
    log.read()  # not there yet
    append(path, SCAN * 3)
    log.read()
    assert log.started == 3
    log.read()
    assert log.started == 3
    log.close()


@given(cuts=st.lists(st.integers(0, 3 * len(SCAN)), max_size=12))
def test_half_lines_are_counted_once(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    data = SCAN * 3
    log = GadgetronLog(path, 1 << 20)
    edges = [0, *sorted(cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        append(path, data[start:stop])
        log.read()
        assert log.started == data[:stop].count(b"Connection state: [STREAM]")
    log.close()


def test_rotation_loses_nothing(path: Path) -> None:
    log = GadgetronLog(path, 1 << 20)
    append(path, SCAN)
    log.read()
    moved = path.with_suffix(".1")
    path.rename(moved)
    append(moved, SCAN)
    log.read()  # no new one yet
    assert log.started == 2
    append(moved, SCAN)
    append(path, SCAN * 2)
    log.read()
    assert log.started == 5
    log.close()


def test_truncation_by_others(path: Path) -> None:
    log = GadgetronLog(path, 1 << 20)
    append(path, SCAN * 2)
    log.read()
    os.truncate(path, 0)
    append(path, SCAN)
    log.read()
    assert log.started == 3
    log.close()


def test_a_large_log_is_emptied_in_place(path: Path) -> None:
    writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # as tee -a
    log = GadgetronLog(path, 4096)
    largest = 0
    for count in range(1, 101):
        os.write(writer, SCAN)
        largest = max(largest, path.stat().st_size)
        log.read()
        assert log.started == count
    os.close(writer)
    log.close()
    assert largest <= 4096 + len(SCAN)


def test_what_may_not_be_touched(path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(SCAN * 100)
    path.symlink_to(precious)
    log = GadgetronLog(path, 4096)
    with capture_logs() as events:
        log.read()
        log.read()
    assert [event["event"] for event in events] == ["the log cannot be read"]  # said once
    assert log.started == 0
    assert precious.stat().st_size == 100 * len(SCAN)
    path.unlink()
    os.mkfifo(path)
    with capture_logs() as events:
        log.read()
    assert events[0]["reason"] == "it is no plain file"
    path.unlink()
    append(path, SCAN)
    log.read()
    assert log.started == 1
    log.close()


def test_a_log_that_may_only_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(path, SCAN * 100)
    really_open = os.open

    def read_only(name: Path, flags: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError
        return really_open(name, flags)

    monkeypatch.setattr(os, "open", read_only)
    log = GadgetronLog(path, 4096)
    with capture_logs() as events:
        log.read()
    assert log.started == 100
    assert path.stat().st_size == 100 * len(SCAN)
    assert "not emptied" in events[0]["event"]
    log.close()
