from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from elastron.errors import StorageUnavailableError
from elastron.storage.folder import FolderStore
from elastron.storage.garbage import GRACE_MS, collect, collect_regularly
from elastron.storage.identity import BlobId
from elastron.storage.metadata import SqlMetadataStore, open_metadata
from elastron.storage.problems import RequestError, StagedRecordGoneError, StoreFullError
from elastron.storage.tags import BlobTags, NewBlob
from elastron.storage.uploads import Uploads
from tests.patience import Patience

NEW = NewBlob("s", BlobTags(name="n"), None)
INSTANCE = "0c7e0d02-325a-405c-8d92-0a7a3336c91f"


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class Bench:
    """An upload's surroundings, with a clock in our hands."""

    def __init__(self, metadata: SqlMetadataStore, root: Path) -> None:
        self.metadata = metadata
        self.root = root
        self.objects = FolderStore(root)
        self.clock = Clock()

    def uploads(self, **more: float | None) -> Uploads:
        settings: dict = {"lease_s": 1.0, "blob_bytes_max": None, "subject_bytes_max": None, **more}
        return Uploads(self.metadata, self.objects, instance=INSTANCE, clock=self.clock, **settings)

    def files(self) -> list[str]:
        found = [path for path in self.root.rglob("*") if path.is_file()]
        return [path.name for path in found if path.suffix != ".lock"]

    async def staged(self) -> list[BlobId]:
        return await self.metadata.abandoned([INSTANCE])


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    metadata = await open_metadata("sqlite", str(tmp_path / "metadata.db"))
    made = Bench(metadata, tmp_path / "blobs")
    await made.objects.start(INSTANCE)
    yield made
    await made.objects.close()
    await metadata.close()


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_an_upload(bench: Bench) -> None:
    info = await bench.uploads().create(NEW, chunks(b"ab", b"c"), None)
    assert info.size_bytes == 3
    found = await bench.metadata.get(info.key, expires_after_ms=0)
    assert found == info
    assert await bench.staged() == []


async def test_what_fails_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise StoreFullError("on purpose")

    uploads = bench.uploads()
    with pytest.raises(StoreFullError):
        await uploads.create(NEW, broken(), None)
    assert (bench.files(), await bench.staged(), uploads.running) == ([], [], 0)

    async def no_completion(*_: object, **__: object) -> None:
        raise StorageUnavailableError("on purpose")

    monkeypatch.setattr(bench.metadata, "complete", no_completion)
    with pytest.raises(StorageUnavailableError):
        await uploads.create(NEW, chunks(b"abc"), None)
    assert (bench.files(), await bench.staged(), uploads.running) == ([], [], 0)


async def test_staging_that_fails_stores_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_staging(*_: object, **__: object) -> None:
        raise StorageUnavailableError("on purpose")

    monkeypatch.setattr(bench.metadata, "stage", no_staging)
    with pytest.raises(StorageUnavailableError):
        await bench.uploads().create(NEW, chunks(b"abc"), None)
    assert bench.files() == []


async def test_a_failure_of_the_clean_up_is_left_to_garbage_collection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"abc"
        raise StoreFullError("on purpose")

    async def no_deletion(key: BlobId) -> None:
        raise StorageUnavailableError("on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(bench.objects, "delete", no_deletion)
        with pytest.raises(StoreFullError):
            await bench.uploads().create(NEW, broken(), None)
    (orphan,) = await bench.staged()
    assert await collect(bench.metadata, bench.objects, bench.clock() + 500) == (0, 0)
    assert await collect(bench.metadata, bench.objects, bench.clock() + 1001) == (1, 0)
    assert await bench.staged() == []
    assert orphan.id not in bench.files()


async def test_sizes_are_limited(bench: Bench) -> None:
    uploads = bench.uploads(blob_bytes_max=4)
    assert (await uploads.create(NEW, chunks(b"abcd"), 4)).size_bytes == 4
    for body, announced in ((chunks(b"abcde"), 5), (chunks(b"abc", b"de"), None)):
        with pytest.raises(RequestError) as refusal:
            await uploads.create(NEW, body, announced)
        assert refusal.value.status == 413
    assert await bench.staged() == []


async def test_subjects_are_limited(bench: Bench) -> None:
    uploads = bench.uploads(subject_bytes_max=10)
    await uploads.create(NEW, chunks(b"1234567"), None)
    for announced, status in ((4, 507), (None, 507), (11, 507)):
        with pytest.raises(RequestError) as refusal:
            await uploads.create(NEW, chunks(b"1234"), announced)
        assert refusal.value.status == status
    with pytest.raises(RequestError) as refusal:
        await uploads.create(NEW, chunks(b"12345678901"), None)
    assert refusal.value.status == 413
    await uploads.create(NEW, chunks(b"123"), 3)
    assert len(bench.files()) == 2


async def test_a_slow_upload_is_no_garbage(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original collects what runs for more than half an hour."""
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"last"

    renewed: list[int] = []
    renew = bench.metadata.renew

    async def watched(keys: Sequence[BlobId], lease_until_ms: int) -> None:
        await renew(keys, lease_until_ms)
        renewed.extend(lease_until_ms for _ in keys)

    monkeypatch.setattr(bench.metadata, "renew", watched)
    uploads = bench.uploads(lease_s=0.1)
    keeper = asyncio.create_task(uploads.keep_leases())
    upload = asyncio.create_task(uploads.create(NEW, slow(), None))
    patience = Patience(60)
    for _ in range(5):
        while not renewed or renewed[-1] < bench.clock() + 100:
            assert patience.lasts()
            await asyncio.sleep(0.01)
        bench.clock.now_ms += 50
        assert await collect(bench.metadata, bench.objects, bench.clock()) == (0, 0)
    go_on.set()
    info = await upload
    assert info.size_bytes == 9
    keeper.cancel()


async def test_an_upload_collected_in_between_is_refused(bench: Bench) -> None:
    """Its server was suspended for longer than the lease, and another one collected it."""

    async def suspended() -> AsyncIterator[bytes]:
        yield b"first"
        bench.clock.now_ms += 5000
        assert await collect(bench.metadata, bench.objects, bench.clock()) == (1, 0)
        yield b"last"

    with pytest.raises(StagedRecordGoneError):
        await bench.uploads().create(NEW, suspended(), None)
    assert bench.files() == []


async def test_expired_blobs_go_after_their_grace(bench: Bench) -> None:
    new = NewBlob("s", BlobTags(custom={"a": ("b",)}), 1000)
    await bench.uploads().create(new, chunks(b"abc"), None)
    await bench.uploads().create(NEW, chunks(b"stays"), None)
    now_ms = bench.clock() + 1000 + GRACE_MS
    assert await collect(bench.metadata, bench.objects, now_ms) == (0, 0)
    assert await collect(bench.metadata, bench.objects, now_ms + 1) == (1, 0)
    assert len(bench.files()) == 1


async def test_servers_may_collect_at_once(bench: Bench, tmp_path: Path) -> None:
    new = NewBlob("s", BlobTags(), 0)
    for _ in range(30):
        await bench.uploads().create(new, chunks(b"abc"), None)
    others = [await open_metadata("sqlite", str(tmp_path / "metadata.db")) for _ in range(3)]
    now_ms = bench.clock() + GRACE_MS + 1
    outcomes = await asyncio.gather(
        *(collect(metadata, bench.objects, now_ms) for metadata in (bench.metadata, *others))
    )
    assert all(left == 0 for _, left in outcomes)
    assert bench.files() == []
    for metadata in others:
        await metadata.close()


async def test_one_bad_blob_does_not_stop_the_collection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = NewBlob("s", BlobTags(), 0)
    infos = [await bench.uploads().create(new, chunks(b"abc"), None) for _ in range(5)]
    delete = bench.objects.delete

    async def picky(key: BlobId) -> None:
        if key == infos[2].key:
            raise StorageUnavailableError("on purpose")
        await delete(key)

    monkeypatch.setattr(bench.objects, "delete", picky)
    assert await collect(bench.metadata, bench.objects, bench.clock() + GRACE_MS + 1) == (4, 1)
    assert bench.files() == [infos[2].key.id]


async def test_collection_goes_on_after_an_outage(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    done = asyncio.Event()

    async def flaky(**_: object) -> list[BlobId]:
        calls.append(1)
        if len(calls) < 3:
            raise StorageUnavailableError("on purpose")
        done.set()
        return []

    monkeypatch.setattr(bench.metadata, "garbage", flaky)
    task = asyncio.create_task(
        collect_regularly(
            bench.metadata,
            bench.objects,
            clock=bench.clock,
            interval_s=0.01,
            report=lambda removed: None,
        )
    )
    await asyncio.wait_for(done.wait(), 60)
    task.cancel()
