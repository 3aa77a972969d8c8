"""Chunks come back exactly when nothing looks at them any more."""

from __future__ import annotations

import gc
import mmap
import weakref

import numpy as np
import pytest

from elastron.wire.memory import Chunk, ChunkPool

SIZE = 1 << 16


def address(chunk: Chunk) -> int:
    return chunk.bytes.__array_interface__["data"][0]


def test_a_chunk_is_used_again_when_its_last_view_is_gone() -> None:
    pool = ChunkPool(SIZE)
    chunk = pool.take(100)
    place = address(chunk)
    rows = chunk.bytes[:64].view([("a", "<u2"), ("b", "<f4", 3), ("c", "<u2")])
    view = rows["b"][1:]
    del chunk, rows
    gc.collect()
    other = pool.take(SIZE)
    assert address(other) != place
    del view
    assert address(pool.take(SIZE)) == place


def test_a_memoryview_keeps_its_chunk() -> None:
    pool = ChunkPool(SIZE)
    chunk = pool.take(SIZE)
    place, buffer = address(chunk), chunk.writable[10:20]
    del chunk
    assert address(pool.take(SIZE)) != place
    buffer.release()
    del buffer


def test_views_are_read_only_and_see_what_is_written() -> None:
    chunk = ChunkPool(SIZE).take(SIZE)
    chunk.writable[3:6] = b"abc"
    view = chunk.bytes[3:6]
    assert view.tobytes() == b"abc"
    assert not view.flags.writeable


def test_large_chunks_are_not_kept() -> None:
    chunk = ChunkPool(SIZE).take(3 * SIZE)
    assert chunk.capacity == 3 * SIZE
    assert len(np.frombuffer(chunk.writable, np.uint8)) == 3 * SIZE


def test_a_closed_pool_lets_go_of_what_is_free_and_what_becomes_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memories = []
    mapped = ChunkPool._map

    def remembered(pool: ChunkPool) -> mmap.mmap:
        memory = mapped(pool)
        memories.append(weakref.ref(memory))
        return memory

    monkeypatch.setattr(ChunkPool, "_map", remembered)
    pool = ChunkPool(SIZE)
    free, lent = pool.take(SIZE), pool.take(SIZE)
    lent.writable[:3] = b"abc"
    del free
    assert memories[0]() is not None
    pool.close()
    assert memories[0]() is None
    view = lent.bytes[:3]
    del lent
    assert view.tobytes() == b"abc"  # what looks at one still may
    del view
    assert memories[1]() is None


def test_few_are_kept() -> None:
    pool = ChunkPool(SIZE, spare_max=2)
    chunks = [pool.take(SIZE) for _ in range(5)]
    places = {address(chunk) for chunk in chunks}
    chunks.clear()
    assert len(pool._spare) == 2
    del pool
    assert len(places) == 5


def test_no_memory_is_said() -> None:
    with pytest.raises(MemoryError, match="to receive into"):
        ChunkPool(1 << 60).take(1)
