from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from elastron.errors import StorageUnavailableError
from elastron.storage import folder as module
from elastron.storage.folder import CHUNK_BYTES, UPLOADS, FolderStore
from elastron.storage.identity import BlobId
from elastron.storage.problems import BlobMissingError


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(store: FolderStore, key: BlobId, start: int, stop: int) -> bytes:
    return b"".join([chunk async for chunk in await store.read(key, start, stop)])


def files(root: Path) -> list[str]:
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.endswith(".lock"))


def leave_upload(root: Path, instance: str) -> None:
    folder = root / UPLOADS / instance
    folder.mkdir()
    (folder / "half").write_bytes(b"x")
    folder.with_suffix(".lock").touch()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FolderStore]:
    opened = FolderStore(tmp_path / "deep" / "blobs")
    assert await opened.start(str(uuid.uuid4())) == []
    yield opened
    await opened.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "blobs"


async def test_layout(store: FolderStore, root: Path) -> None:
    key = BlobId.new("../../etc/päss")
    assert await store.save(key, chunks(b"ab", b"", b"c")) == 3
    assert files(root) == [key.path]
    assert await read(store, key, 0, 3) == b"abc"
    assert await read(store, key, 1, 2) == b"b"
    assert await store.size(key) == 3


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 5])
async def test_sizes(store: FolderStore, size: int) -> None:
    data = os.urandom(size)
    key = BlobId.new("s")
    pieces = [data[at : at + 300_000] for at in range(0, size, 300_000)]
    assert await store.save(key, chunks(*pieces)) == size
    assert await read(store, key, 0, size) == data
    assert await read(store, key, size // 2, size) == data[size // 2 :]


async def test_everything_is_flushed_before_and_after_the_rename(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(descriptor: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def watched_rename(source: Path, target: Path) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(module.os, "fsync", watched_fsync)
    monkeypatch.setattr(module.os, "rename", watched_rename)
    key = BlobId.new("s")
    await store.save(key, chunks(b"x"))
    assert steps == [key.id, root.name, "rename", key.folder]


async def test_a_body_that_breaks_leaves_nothing(store: FolderStore, root: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 * CHUNK_BYTES)
        raise StorageUnavailableError("on purpose")

    with pytest.raises(StorageUnavailableError, match="on purpose"):
        await store.save(BlobId.new("s"), broken())
    assert files(root) == []


async def test_a_cancelled_upload_leaves_nothing(store: FolderStore, root: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * CHUNK_BYTES
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(store.save(BlobId.new("s"), endless())) for _ in range(4)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert files(root) == []


async def test_missing_and_short_blobs(store: FolderStore, root: Path) -> None:
    key = BlobId.new("s")
    with pytest.raises(BlobMissingError):
        await store.read(key, 0, 1)
    with pytest.raises(BlobMissingError):
        await store.size(key)
    await store.save(key, chunks(b"abc"))
    with pytest.raises(BlobMissingError, match="shorter"):
        await store.read(key, 0, 4)


async def test_deleting(store: FolderStore, root: Path) -> None:
    first, second = BlobId.new("s"), BlobId.new("s")
    await store.save(first, chunks(b"1"))
    await store.save(second, chunks(b"2"))
    await store.delete(first)
    await store.delete(first)
    assert files(root) == [second.path]
    await store.delete(second)
    assert names(root) == [UPLOADS], "empty folders go too"


async def test_saving_while_the_folder_is_removed(store: FolderStore) -> None:
    """Deleting a subject's last blob removes its folder; uploads to it must not suffer."""

    async def cycle(number: int) -> None:
        for _ in range(25):
            key = BlobId.new("s")
            await store.save(key, chunks(str(number).encode()))
            await store.delete(key)

    await asyncio.gather(*(cycle(number) for number in range(8)))


async def test_what_a_dead_server_left_is_cleared(root: Path) -> None:
    dead, alive = str(uuid.uuid4()), str(uuid.uuid4())
    living = FolderStore(root)
    await living.start(alive)
    leave_upload(root, dead)
    (root / UPLOADS / alive / "running").write_bytes(b"x")
    newcomer = FolderStore(root)
    assert await newcomer.start(str(uuid.uuid4())) == [dead]
    assert files(root) == [f"{UPLOADS}/{alive}/running"], "a living server's is left alone"
    await newcomer.close()
    await living.close()
    assert names(root / UPLOADS) == []


async def test_health(store: FolderStore, root: Path) -> None:
    await store.check()
    await asyncio.to_thread(root.rename, root.with_name("elsewhere"))
    with pytest.raises((StorageUnavailableError, BlobMissingError)):
        await store.check()
    await asyncio.to_thread(root.with_name("elsewhere").rename, root)
