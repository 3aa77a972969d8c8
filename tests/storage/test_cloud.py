"""Azurite and moto; what the folder has too is tested end to end."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator

import pytest

from elastron.errors import ConfigError, StorageUnavailableError
from elastron.storage.cloud import PART_BYTES, CloudStore, open_azure, open_s3
from elastron.storage.identity import BlobId
from elastron.storage.problems import BlobMissingError, UploadCutError
from tests.ports import free_port


@pytest.fixture(params=["azurite", "s3"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[CloudStore]:
    place = request.getfixturevalue(request.param)
    opened = open_s3(place) if request.param == "s3" else open_azure(place)
    await opened.start(str(uuid.uuid4()))
    yield opened
    await opened.close()


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(store: CloudStore, key: BlobId, start: int, stop: int) -> bytes:
    return b"".join([chunk async for chunk in await store.read(key, start, stop)])


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, 2 * PART_BYTES + 7])
async def test_sizes(store: CloudStore, size: int) -> None:
    data = os.urandom(size)
    key = BlobId.new("ä/../$null")
    pieces = [data[at : at + 700_000] for at in range(0, size, 700_000)]
    assert await store.save(key, chunks(*pieces)) == size
    assert await store.size(key) == size
    assert await read(store, key, 0, size) == data
    assert await read(store, key, size // 3, size // 2) == data[size // 3 : size // 2]
    await store.delete(key)
    await store.delete(key)
    with pytest.raises(BlobMissingError):
        await store.size(key)
    with pytest.raises(BlobMissingError):
        await store.read(key, 0, size)


async def test_a_body_that_breaks_leaves_nothing(store: CloudStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * PART_BYTES
        raise UploadCutError("on purpose")

    key = BlobId.new("s")
    with pytest.raises(UploadCutError, match="on purpose"):
        await store.save(key, broken())
    with pytest.raises(BlobMissingError):
        await store.size(key)


async def test_a_blob_shorter_than_its_record(store: CloudStore) -> None:
    key = BlobId.new("s")
    await store.save(key, chunks(b"abc"))
    with pytest.raises(BlobMissingError):
        await read(store, key, 0, 4)


async def test_a_container_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elastron.storage.cloud._RETRIES", {"max_retries": 0})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    endpoint = f"http://127.0.0.1:{free_port()}"
    azure = f"AccountName=a;AccountKey=Zm9v;BlobEndpoint={endpoint}/a"
    for opened in (open_s3(f"s3://b?endpoint={endpoint}"), open_azure(azure)):
        with pytest.raises(StorageUnavailableError) as error:
            await opened.start(str(uuid.uuid4()))
        assert "Zm9v" not in str(error.value)


async def test_a_bucket_that_is_not_there(s3: str) -> None:
    opened = open_s3(s3.replace("s3://blobs", "s3://nowhere"))
    with pytest.raises(StorageUnavailableError):
        await opened.start(str(uuid.uuid4()))


async def test_a_wrong_key(azurite: str) -> None:
    wrong = azurite.replace("Eby8", "Fby8")
    with pytest.raises(ConfigError, match="AccountKey"):
        await open_azure(wrong).start(str(uuid.uuid4()))


def test_azure_with_an_identity_and_the_emulator() -> None:
    # Only that they are understood: there is no Azure here.
    open_azure("azure://account/container")
    open_azure("UseDevelopmentStorage=true")
    open_azure("DefaultEndpointsProtocol=https;AccountName=a;SharedAccessSignature=sv=1&sig=x")
