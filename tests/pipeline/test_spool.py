"""Data kept in memory, then on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ReconstructionError
from elastron.pipeline.spool import SpoolSpace

pieces = st.lists(st.lists(st.binary(max_size=50), max_size=3), max_size=20)


@given(pieces, st.integers(0, 500))
def test_everything_is_read_as_it_was_written(appended: list, memory: int) -> None:
    space = SpoolSpace(memory, 1 << 20)
    one, other = space.open(), space.open()
    for i, piece in enumerate(appended):
        assert (one, other)[i % 2].append(piece) == len(b"".join(piece))
    for start, spool in enumerate((one, other)):
        expected = [b"".join(piece) for piece in appended[start::2]]
        assert [b"".join(spool.read(i)) for i in range(len(spool))] == expected
        assert spool.nbytes == sum(map(len, expected))
    assert space.memory_bytes <= memory
    one.close()
    other.close()
    assert (space.memory_bytes, space.disk_bytes) == (0, 0)


def test_views_of_any_shape_are_kept_on_disk(tmp_path: Path) -> None:
    spool = SpoolSpace(0, 1 << 20, tmp_path).open()
    spool.append([memoryview(b"abcdefgh").cast("I"), bytearray(b"i")] * 2000)
    assert b"".join(spool.read(0)) == b"abcdefghi" * 2000
    assert list(tmp_path.iterdir()) == []  # the file has no name
    spool.close()


def test_limits_and_failures_are_named(tmp_path: Path) -> None:
    spool = SpoolSpace(4, 4).open()
    spool.append([b"1234"])
    spool.append([b"5678"])
    with pytest.raises(ReconstructionError, match="disk_bytes_max"):
        spool.append([b"9"])
    with pytest.raises(ReconstructionError, match="No temporary file"):
        SpoolSpace(0, 9, tmp_path / "missing").open().append([b"1"])
    spool._file.close()  # type: ignore[union-attr]
    with pytest.raises(ReconstructionError, match="cannot be read"):
        spool.read(1)


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    spool = SpoolSpace(0, 100, tmp_path).open()
    spool.append([b"12345"])
    spool._file.truncate(2)  # type: ignore[union-attr]
    with pytest.raises(ReconstructionError, match="it ends after 2 bytes"):
        spool.read(0)
