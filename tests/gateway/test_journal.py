from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastron.errors import ElastronError, JournalFullError
from elastron.gateway.journal import Journal
from elastron.gateway.journal_space import JournalSpace
from elastron.gateway.settings import JournalSettings

SEGMENT = 64 << 10
MIB = 1 << 20


def make_space(folder: Path | None = None, **limits: object) -> JournalSpace:
    chosen = {"memory_bytes_max": 8 * MIB, "folder": folder, **limits}
    space = JournalSpace(JournalSettings(**chosen), segment_bytes=SEGMENT)
    space.start()
    return space


async def content(journal: Journal) -> bytes:
    parts = [bytes(piece) async for piece in journal.pieces()]
    assert sum(map(len, parts)) == journal.content_bytes
    return b"".join(parts)


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


async def test_an_empty_journal_takes_nothing() -> None:
    space = make_space()
    journals = [space.open() for _ in range(1000)]
    assert space.memory_bytes == 0
    for journal in journals:
        journal.close()
    assert not space.journals
    await space.stop()


async def test_bytes_are_received_in_place_and_given_back() -> None:
    space = make_space()
    journal = space.open()
    data = noise(3 * SEGMENT + 17)
    await journal.append(data)
    assert journal.size == len(data)
    assert await content(journal) == data
    view = journal.view(5)
    assert view is not None
    assert view == data[5 : 5 + len(view)]
    assert (
        await journal.copy(SEGMENT // 2 - 3, SEGMENT + 9) == data[SEGMENT // 2 - 3 :][: SEGMENT + 9]
    )
    journal.close()
    journal.close()
    assert space.memory_bytes == 0
    assert space.spare_bytes > 0
    await space.stop()


async def test_memory_is_used_again_and_then_given_back() -> None:
    space = make_space(spare_bytes_max=0)
    for _ in range(20):
        journal = space.open()
        await journal.append(noise(MIB))
        journal.close()
    assert space.spare_bytes < 2 * MIB
    for _ in range(100):
        space.trim()
    assert space.spare_bytes <= SEGMENT
    await space.stop()


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 4 * SEGMENT),
    cuts=st.lists(st.tuples(st.integers(0, 4 * SEGMENT), st.integers(1, SEGMENT)), max_size=5),
)
def test_what_is_left_out_is_never_seen(size: int, cuts: list[tuple[int, int]]) -> None:
    async def check() -> None:
        space = make_space()
        journal = space.open()
        data = noise(size)
        await journal.append(data)
        kept, at = bytearray(), 0
        for start, length in sorted(cuts):
            stop = min(start + length, size)
            if at <= start < stop:
                kept += data[at:start]
                journal.leave_out(start, stop)
                at = stop
        kept += data[at:]
        assert await content(journal) == kept
        seen, at = bytearray(), journal.skip(0)
        while at < journal.size:
            view = journal.view(at)
            assert view
            seen += view
            at = journal.skip(at + len(view))
        assert seen == kept
        journal.close()
        await space.stop()

    asyncio.run(check())


async def test_more_than_the_memory_goes_to_disk(tmp_path: Path) -> None:
    space = make_space(tmp_path)
    journal, small = space.open(), space.open()
    await small.append(b"small")
    data = noise(40 * MIB)
    await journal.append(data)
    assert space.memory_bytes <= space.settings.memory_bytes_max
    assert space.disk_bytes >= 30 * MIB
    assert not os.listdir(tmp_path)  # the file has no name
    assert await content(journal) == data
    assert small.view(0) == b"small"
    journal.close()
    small.close()
    assert (space.memory_bytes, space.disk_bytes) == (0, 0)
    await space.stop()


async def test_what_is_needed_next_stays_in_memory(tmp_path: Path) -> None:
    space = make_space(tmp_path)
    waiting, running = space.open(), space.open()
    for _ in range(20 * MIB // SEGMENT):
        await waiting.append(noise(SEGMENT))
        await running.append(noise(SEGMENT))
        running.reading_at = running.size - SEGMENT
    assert waiting.view(0) is not None
    assert running.view(running.reading_at) is not None
    assert running.view(0) is None
    waiting.close()
    running.close()
    await space.stop()


async def test_bytes_that_nobody_needs_again_are_let_go() -> None:
    space = make_space()
    journal = space.open()
    for _ in range(50):  # six times the memory
        await journal.append(noise(MIB))
        journal.release(journal.size)
    assert space.memory_bytes <= 2 * SEGMENT
    journal.close()
    await space.stop()


async def test_a_scan_waits_for_another_to_end() -> None:
    space = make_space()
    first, second = space.open(), space.open()
    await first.append(bytes(6 * MIB))
    growing = asyncio.create_task(second.append(bytes(4 * MIB)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not growing.done()
    first.close()
    await growing
    assert second.size == 4 * MIB
    second.close()
    await space.stop()


async def test_the_largest_gives_up_when_all_wait_for_each_other() -> None:
    space = make_space()
    large, small = space.open(), space.open()
    await large.append(bytes(4 * MIB))
    await small.append(bytes(2 * MIB))
    tasks = [asyncio.create_task(each.append(bytes(4 * MIB))) for each in (large, small)]
    with pytest.raises(JournalFullError, match="no other scan will free any"):
        await tasks[0]
    assert not tasks[1].done()
    large.close()
    await tasks[1]
    small.close()
    await space.stop()


async def test_patience_ends() -> None:
    space = make_space(room_timeout_s=0.05)
    computing, growing = space.open(), space.open()
    await computing.append(bytes(6 * MIB))  # may end at any time: it is waited for
    with pytest.raises(JournalFullError, match=r"for 0.05 s"):
        await growing.append(bytes(4 * MIB))
    computing.close()
    growing.close()
    await space.stop()


async def test_the_disk_has_a_cap(tmp_path: Path) -> None:
    space = make_space(tmp_path, disk_bytes_max=4 * MIB)
    journal = space.open()
    with pytest.raises(JournalFullError):
        await journal.append(bytes(20 * MIB))
    assert space.disk_bytes <= 4 * MIB
    assert journal.size <= 12 * MIB
    journal.close()
    assert space.disk_bytes == 0
    await space.stop()


async def test_a_full_disk_corrupts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make_space(tmp_path)
    real, calls = os.pwritev, 0

    def full(fd: int, buffers: list, place: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise OSError(28, "No space left on device")
        # A disk that fills up takes only a part.
        return real(fd, [buffers[0][: len(buffers[0]) // 2]], place)

    monkeypatch.setattr(os, "pwritev", full)
    journal = space.open()
    data = noise(20 * MIB)
    with pytest.raises(JournalFullError):
        await journal.append(data)
    assert await content(journal) == data[: journal.size]
    journal.close()
    await space.stop()


async def test_closing_while_the_disk_is_written(tmp_path: Path) -> None:
    space = make_space(tmp_path)
    for seed in range(10):
        journal = space.open()
        await journal.append(noise(6 * MIB + MIB // 2, seed))
        await asyncio.sleep(0)  # a spill has begun
        journal.close()
    async with asyncio.timeout(60):
        while space.memory_bytes:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)
    assert (space.memory_bytes, space.disk_bytes) == (0, 0)
    await space.stop()


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    space = JournalSpace(JournalSettings(folder=file))
    with pytest.raises(ElastronError, match="journal's folder"):
        space.start()


async def test_what_is_held_stays_in_memory(tmp_path: Path) -> None:
    space = make_space(tmp_path)
    journal = space.open()
    data = noise(9 * MIB)
    await journal.append(data[: 4 * MIB])
    journal.held_from = journal.size - MIB
    await journal.append(data[4 * MIB :])
    held = slice(3 * MIB + 5, 5 * MIB + 7)
    assert journal.peek(held.start, held.stop - held.start) == data[held]
    assert space.disk_bytes > 0
    journal.close()
    await space.stop()


async def test_a_large_scan_leaves_room_for_small_ones() -> None:
    space = make_space()
    large = space.open()
    with pytest.raises(JournalFullError):
        await large.append(bytes(9 * MIB))
    small = [space.open() for _ in range(3)]
    for journal in small:
        await journal.append(bytes(MIB // 4))
    for journal in (large, *small):
        journal.close()
    await space.stop()
