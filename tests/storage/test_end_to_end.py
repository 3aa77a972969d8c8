"""The functions of the original server's end-to-end suite, over HTTP, against every pair of stores.

Written from the API's description. The three that look behind the API there (garbage
collection, staged blobs) do so here through the same stores, opened a second time.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from elastron.storage import StorageSettings
from elastron.storage.garbage import collect
from elastron.storage.identity import BlobId
from elastron.storage.instants import now_ms
from elastron.storage.metadata import open_metadata
from elastron.storage.problems import BlobMissingError
from elastron.storage.stores import database_provider, open_objects
from elastron.storage.tags import BlobTags, NewBlob

from .parts import raw_exchange, request_bytes

BODY = b"this is the body"


@pytest.fixture
def subject() -> str:
    return str(time.time_ns())


def create(client: httpx.Client, query: str, content_type: str | None = None, body: bytes = BODY):
    headers = {"content-type": content_type} if content_type else {}
    return client.post(f"/v1/blobs/data?{query}", content=body, headers=headers)


def search(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/blobs?{query}")
    assert answer.status_code == 200
    return answer.json()["items"]


def get(client: httpx.Client, location: str) -> httpx.Response:
    """By the path of a link only, as the original's tests do."""
    return client.get(urlsplit(location).path)


@pytest.mark.parametrize(
    "query",
    [
        "subject=s&_r=s",
        "subject=s&a*=s",
        f"subject=sub&{'a' * 65}=abc",
        "subject=s&location=l",
        "subject=s&lastModified=2021-10-18T16:56:15.693Z",
        "subject=s&_ttl=not-an-interval",
        "subject=s&_ttl=-1h",
        "subject=s&subject=s2",
        "subject=",
        "",
        "subject=s&device=d1&device=d2",
        "subject=s&name=n1&name=n2",
        "subject=s&session=s1&session=s2",
        f"subject=sub&a={'a' * 200}",
    ],
)
def test_invalid_tags(everywhere: httpx.Client, query: str) -> None:
    answer = create(everywhere, query, "text-plain", b"hello")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in ("InvalidTag", "InvalidSubject")


def test_create_valid_blob(everywhere: httpx.Client, subject: str) -> None:
    created = create(everywhere, f"subject={subject}&name=myname&device=mydevice")
    assert created.status_code == 201
    read = everywhere.get(created.json()["data"])
    assert read.status_code == 200
    assert read.content == BODY
    assert read.headers["content-type"] == "application/octet-stream"
    assert read.headers["last-modified"].endswith(" GMT")
    assert read.headers.get_list("mrd-tag-subject") == [subject]
    assert read.headers["mrd-tag-name"] == "myname"
    assert read.headers["mrd-tag-device"] == "mydevice"
    assert "mrd-tag-session" not in read.headers
    assert "expires" not in read.headers
    assert len(search(everywhere, f"subject={subject}")) == 1


def test_create_valid_blob_custom_tags(everywhere: httpx.Client, subject: str) -> None:
    created = create(
        everywhere,
        f"subject={subject}&session=mysession&customtag1=customTag1Value"
        "&customTag2=customTag2Value1&customTag2=customTag2Value2",
        "text/plain",
    )
    assert created.status_code == 201
    read = everywhere.get(created.json()["data"])
    assert read.content == BODY
    assert read.headers["content-type"] == "text/plain"
    assert read.headers["mrd-tag-session"] == "mysession"
    lines = [(name.lower(), value) for name, value in read.headers.raw]
    assert [value for name, value in lines if name == b"mrd-tag-customtag1"] == [b"customTag1Value"]
    assert sorted(value for name, value in lines if name == b"mrd-tag-customtag2") == [
        b"customTag2Value1",
        b"customTag2Value2",
    ]
    found = f"subject={subject}&CustomTag2=customTag2Value1"
    assert len(search(everywhere, found)) == 1
    assert search(everywhere, f"{found}&CustomTag2=missing") == []
    assert len(search(everywhere, f"{found}&CustomTag2=customTag2Value2")) == 1


def test_time_to_live(everywhere: httpx.Client, subject: str) -> None:
    before = datetime.now(UTC)
    created = create(everywhere, f"subject={subject}&session=mysession&_ttl=10m9s", "text/plain")
    assert created.status_code == 201
    meta = created.json()
    assert (meta["subject"], meta["session"]) == (subject, "mysession")
    assert meta["expires"].endswith("Z")
    expires = datetime.fromisoformat(meta["expires"])
    tolerance = timedelta(milliseconds=500)
    wanted = before + timedelta(minutes=10, seconds=9)
    # The original's test bounds it against the time before the request was made.
    assert -timedelta(milliseconds=1) <= expires - wanted < tolerance + (datetime.now(UTC) - before)


def test_expired_blob_not_in_search_results(everywhere: httpx.Client, subject: str) -> None:
    for ttl in ("0s", "10m", "10m"):
        query = f"subject={subject}&session=e&_ttl={ttl}&expiration-test={ttl}"
        assert create(everywhere, query, "text/plain").status_code == 201
    time.sleep(0.05)
    items = search(everywhere, f"subject={subject}&session=e")
    assert [item["expiration-test"] for item in items] == ["10m", "10m"]


def test_expired_blob_not_found(everywhere: httpx.Client, subject: str) -> None:
    created = create(everywhere, f"subject={subject}&session=e&_ttl=0s", "text/plain")
    assert created.status_code == 201
    assert "expires" in created.json()
    time.sleep(0.05)
    gone = get(everywhere, created.json()["location"])
    assert (gone.status_code, gone.content) == (404, b"")
    # The bytes stay readable for a while, so that a link from a search stays good.
    assert everywhere.get(created.json()["data"]).content == BODY


def test_blob_with_time_to_live_has_expiration(everywhere: httpx.Client, subject: str) -> None:
    created = create(everywhere, f"subject={subject}&_ttl=45m", "text/plain").json()
    assert get(everywhere, created["location"]).json()["expires"] == created["expires"]


def test_blob_with_time_to_live_has_data_header(everywhere: httpx.Client, subject: str) -> None:
    created = create(everywhere, f"subject={subject}&_ttl=5m", "text/plain").json()
    header = everywhere.get(created["data"]).headers["expires"]
    said = datetime.strptime(header, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert timedelta(0) <= datetime.fromisoformat(created["expires"]) - said < timedelta(seconds=1)


def test_create_response(everywhere: httpx.Client) -> None:
    meta = create(everywhere, "subject=$null&session=mysession", "text/plain").json()
    assert meta["contentType"] == "text/plain"
    assert meta["session"] == "mysession"
    assert meta["subject"] == "$null"
    assert meta["lastModified"].endswith("Z")
    assert {"location", "data"} < meta.keys()
    assert "name" not in meta


def test_create_response_custom_tags(everywhere: httpx.Client, subject: str) -> None:
    meta = create(
        everywhere,
        f"subject={subject}&customtag1=customTag1Value&customTag2=v1&customTag2=v2",
    ).json()
    assert meta["customtag1"] == "customTag1Value"
    assert sorted(meta["customtag2"]) == ["v1", "v2"]


def test_create_response_matches_blob_meta(everywhere: httpx.Client) -> None:
    query = "subject=$null&session=s&t=b&t=a&u=1&_ttl=1h&device=d&name=n"
    created = create(everywhere, query, "text/plain").json()
    assert get(everywhere, created["location"]).json() == created


def test_search_paging(everywhere: httpx.Client, subject: str) -> None:
    original = f"subject={subject}&mytag=t"
    for _ in range(10):
        assert create(everywhere, original, body=b"").status_code == 201
    for page_size in (3, 5, 8, 10, 11):
        query, seen = f"{original}&_limit={page_size}", []
        while query:
            page = everywhere.get(f"/v1/blobs?{query}").json()
            assert len(page["items"]) <= page_size
            seen += [item["location"] for item in page["items"]]
            query = urlsplit(page.get("nextLink", "")).query
        assert len(seen) == len(set(seen)) == 10
    everything = everywhere.get(f"/v1/blobs?{original}&_limit=0").json()
    assert "nextLink" not in everything
    for newer, item in zip(everything["items"], everything["items"][1:], strict=False):
        if newer["lastModified"] != item["lastModified"]:
            at = f"{original}&_at={quote(item['lastModified'])}"
            assert search(everywhere, at)[0]["location"] == item["location"]
            latest = everywhere.get(f"/v1/blobs/data/latest?{at}")
            assert latest.headers["location"] == item["location"]


@pytest.mark.parametrize(
    "query",
    [
        "a=a",
        "subject=x&_ct=3",
        "subject=x&_ct=_ct=eyJ0cyI6MTYzNDU3NjE3NzA4MH0&_ct=eyJ0cyI6MTYzNDU3NjE3NzA4MH0",
        "subject=x&_at=foobar",
        "subject=x&_at=2021",
        "subject=x&_at=2021-10-18T16:56:15.693Z&_at=2021-10-18T16:56:15.693Z",
    ],
)
def test_invalid_searches(everywhere: httpx.Client, query: str) -> None:
    for path in ("/v1/blobs", "/v1/blobs/data/latest"):
        answer = everywhere.get(f"{path}?{query}")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"].startswith("Invalid")


def test_tag_case_sensitivity(everywhere: httpx.Client, subject: str) -> None:
    subject = f"S-{subject}"
    query = f"subject={subject}&name=MYNAME&mytag=TAGVALUE1&MYTAG=TAGVALUE2"
    assert create(everywhere, query, body=b"").status_code == 201
    assert search(everywhere, query.lower()) == []
    assert search(everywhere, f"subject={subject}&name=MYNAME&mytag=TAGVALUE1")
    assert search(everywhere, f"SUBJECT={subject}&name=MYNAME&mytag=TAGVALUE1")
    assert search(everywhere, f"subject={subject}&name=MYNAME&MYTAG=TAGVALUE1")
    assert search(everywhere, f"subject={subject.lower()}&name=MYNAME&mytag=TAGVALUE1") == []
    assert search(everywhere, f"subject={subject}&name=MYNAME&mytag=tagvalue1") == []


def test_unicode_tags_raw_on_the_request_line(everywhere: httpx.Client, subject: str) -> None:
    url = str(everywhere.base_url)
    query = f"subject={subject}&name=😁&mytag=😀"
    created = raw_exchange(url, request_bytes("POST", f"/v1/blobs/data?{query}", body=b"x"))
    assert created.startswith(b"HTTP/1.1 201 ")
    found = raw_exchange(url, request_bytes("GET", f"/v1/blobs?{query}"))
    assert '"name":"😁"'.encode() in found
    assert '"mytag":"😀"'.encode() in found
    latest = raw_exchange(url, request_bytes("GET", f"/v1/blobs/data/latest?{query}"))
    assert "mrd-tag-name: 😁\r\n".encode() in latest
    assert "mrd-tag-mytag: 😀\r\n".encode() in latest
    # Percent-encoded means the same.
    assert len(search(everywhere, query)) == 1


@pytest.mark.parametrize("path", ["/", "/v1/blobs/latest?subject=1234", "/v1/blobs/abc"])
def test_404(everywhere: httpx.Client, path: str) -> None:
    answer = everywhere.get(path)
    assert (answer.status_code, answer.content) == (404, b"")


def test_null_subject(everywhere: httpx.Client, subject: str) -> None:
    query = f"subject=$null&device={subject}"
    created = create(everywhere, query, body=b"hello").json()
    assert everywhere.get(created["data"]).content == b"hello"
    assert everywhere.get(f"/v1/blobs/data/latest?{query}").content == b"hello"


def test_health_check(everywhere: httpx.Client) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = everywhere.request(method, "/healthcheck")
        assert (answer.status_code, answer.json()) == (200, {"status": "OK"})


Work = Callable[[Any, Any], Awaitable[None]]


def behind(place: StorageSettings, work: Work) -> None:
    """Open the server's stores a second time."""

    async def run() -> None:
        metadata = await open_metadata(database_provider(place), place.database)
        objects = open_objects(place)
        await objects.start(str(uuid.uuid4()))
        try:
            await work(metadata, objects)
        finally:
            await objects.close()
            await metadata.close()

    asyncio.run(run())


async def _chunks(*chunks: bytes):
    for chunk in chunks:
        yield chunk


async def _stage(metadata: Any, subject: str, lease_until_ms: int) -> BlobId:
    new = NewBlob(subject, BlobTags(custom={"a": ("b",)}), None)
    info = await metadata.stage(
        new, now_ms=now_ms(), lease_until_ms=lease_until_ms, owner=str(uuid.uuid4())
    )
    return info.key


def test_garbage_collection(place: StorageSettings, subject: str) -> None:
    async def work(metadata: Any, objects: Any) -> None:
        keys = [await _stage(metadata, f"{subject}-{i}", now_ms() + 30_000) for i in range(3)]
        for key in keys:
            assert await objects.save(key, _chunks(b"abc")) == 3
        await collect(metadata, objects, now_ms() + 60_000)
        for key in keys:
            with pytest.raises(BlobMissingError):
                await objects.read(key, 0, 3)
            await objects.delete(key)  # once more is no error

    behind(place, work)


def test_garbage_collection_removes_expired_blobs(
    place: StorageSettings, everywhere: httpx.Client, subject: str
) -> None:
    query = f"subject={subject}&session=time-to-live-test"
    created = create(everywhere, f"{query}&_ttl=5m", "text/plain").json()

    async def work(metadata: Any, objects: Any) -> None:
        await collect(metadata, objects, now_ms() + 3_600_000)

    behind(place, work)
    assert search(everywhere, query) == []
    assert get(everywhere, created["location"]).status_code == 404
    assert everywhere.get(created["data"]).status_code == 404


def test_staged_blobs_are_not_visible(
    place: StorageSettings, everywhere: httpx.Client, subject: str
) -> None:
    query = f"subject={subject}"

    async def latest_status() -> int:
        answer = await asyncio.to_thread(everywhere.get, f"/v1/blobs/data/latest?{query}")
        return answer.status_code

    async def work(metadata: Any, objects: Any) -> None:
        key = await _stage(metadata, subject, now_ms() + 60_000)
        await objects.save(key, _chunks())
        assert search(everywhere, query) == []
        assert await latest_status() == 404
        await metadata.complete(key, 0, quota=None, now_ms=now_ms())
        assert len(search(everywhere, query)) == 1
        assert await latest_status() == 200

    behind(place, work)
