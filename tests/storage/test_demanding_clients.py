"""Clients that want too much, are slow, leave, or come all at once."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import select
from pathlib import Path

import httpx

from .parts import (
    connect,
    create,
    raw_exchange,
    receive_all,
    request_bytes,
    server,
    wait_until,
)


def test_limits(tmp_path: Path) -> None:
    with server(tmp_path, blob_bytes_max=1000, subject_bytes_max=1500) as client:
        create(client, "subject=s", b"x" * 1000)
        large = client.post("/v1/blobs/data?subject=t", content=b"x" * 1001)
        assert (large.status_code, large.json()["error"]["code"]) == (413, "BlobTooLarge")
        chunked = client.post("/v1/blobs/data?subject=t", content=iter([b"x" * 600] * 2))
        assert chunked.status_code == 413
        over = client.post("/v1/blobs/data?subject=s", content=b"x" * 501)
        assert (over.status_code, over.json()["error"]["code"]) == (507, "QuotaExceeded")
        create(client, "subject=s", b"x" * 500)
        assert client.get("/healthcheck").status_code == 200
        assert client.get("/v1/blobs?subject=t").json() == {"items": []}


def test_too_many_uploads_at_once(tmp_path: Path) -> None:
    with server(tmp_path, uploads_max=1) as client, connect(str(client.base_url)) as slow:
        slow.sendall(request_bytes("POST", "/v1/blobs/data?subject=s", "Content-Length: 4") + b"ab")
        wait_until(
            lambda: b"elastron_storage_uploads 1.0" in client.get("/metrics").content,
            "the upload did not begin",
        )
        busy = client.post("/v1/blobs/data?subject=s", content=b"x")
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        slow.sendall(b"cd")
        assert b" 201 " in receive_all(slow)
        create(client, "subject=s")


def left_over(folder: Path) -> list[str]:
    found = [path for path in (folder / "blobs").rglob("*") if path.is_file()]
    return [path.name for path in found if path.suffix != ".lock"]


def test_cut_uploads_leave_nothing(tmp_path: Path) -> None:
    with server(tmp_path) as client:
        url = str(client.base_url)
        for body in (
            request_bytes("POST", "/v1/blobs/data?subject=cut", "Content-Length: 5000000"),
            request_bytes("POST", "/v1/blobs/data?subject=cut", "Transfer-Encoding: chunked"),
        ):
            with connect(url) as connection:
                connection.sendall(body + b"FFFFF\r\n" + b"x" * 900_000)
        wait_until(
            lambda: (
                b"elastron_storage_uploads 0.0" in client.get("/metrics").content
                and not left_over(tmp_path)
            ),
            "something is left",
        )
        assert client.get("/v1/blobs?subject=cut").json() == {"items": []}
        assert client.get("/v1/blobs/data/latest?subject=cut").status_code == 404
        # A chunk that is none.
        bad = request_bytes("POST", "/v1/blobs/data?subject=cut", "Transfer-Encoding: chunked")
        assert raw_exchange(url, bad + b"zz\r\n").startswith(b"HTTP/1.1 400 ")


def test_slow_uploads_are_refused(tmp_path: Path) -> None:
    with server(tmp_path, idle_timeout_s=0.3) as client:
        with connect(str(client.base_url)) as silent:
            # More than could be sent byte by byte before it is refused.
            head = request_bytes("POST", "/v1/blobs/data?subject=slow", "Content-Length: 99999")
            silent.sendall(head + b"some")
            assert receive_all(silent).startswith(b"HTTP/1.1 408 ")
        with connect(str(client.base_url)) as trickle, contextlib.suppress(OSError):
            trickle.sendall(head)
            while not select.select([trickle], [], [], 0.02)[0]:
                trickle.sendall(b"x")
            assert receive_all(trickle).startswith(b"HTTP/1.1 408 ")
        assert client.get("/v1/blobs?subject=slow").json() == {"items": []}
        assert left_over(tmp_path) == []
    with server(tmp_path) as client:  # another that waits for us, should we be slow
        create(client, "subject=slow")


def test_a_reader_that_leaves_or_stands_still(tmp_path: Path) -> None:
    with server(tmp_path) as client:
        made = create(client, "subject=s", b"x" * 50_000_000)
        target = made["data"].partition(":")[2].partition("/v1")[2]
        for _ in range(2):
            with connect(str(client.base_url)) as reader:
                reader.sendall(request_bytes("GET", f"/v1{target}"))
                assert reader.recv(100).startswith(b"HTTP/1.1 200 ")
    with server(tmp_path, idle_timeout_s=0.3) as client, connect(str(client.base_url)) as reader:
        reader.sendall(request_bytes("GET", f"/v1{target}"))
        told = b'method="GET",route="/v1/blobs/{id}/data",status="499"'
        wait_until(lambda: told in client.get("/metrics").content, "it is waited for")
        assert len(receive_all(reader)) < 50_000_000
    with server(tmp_path) as client:
        assert client.get(f"/v1{target}").content == b"x" * 50_000_000


def test_many_clients_at_once(client: httpx.Client) -> None:
    def one(number: int) -> None:
        body = os.urandom(number * 997)
        made = create(client, f"subject=many{number % 3}&number={number}", body)
        assert client.get(made["data"]).content == body
        found = client.get(f"/v1/blobs?subject=many{number % 3}&number={number}").json()["items"]
        assert [item["location"] for item in found] == [made["location"]]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(64)))
