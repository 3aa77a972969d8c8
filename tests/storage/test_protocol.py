"""Bytes on the connection: raw UTF-8 request lines, and limits."""

from __future__ import annotations

import socket
import time

import httpx
import pytest

from elastron.storage import protocol

from .parts import ANSWER_S, connect, raw_exchange, receive_all, request_bytes

TARGET = "/v1/blobs?subject=😁&name=é"
CHUNKED = request_bytes("POST", "/v1/blobs/data?subject=s", "Transfer-Encoding: chunked")
REQUEST = request_bytes("GET", TARGET)


@pytest.fixture
def url(client: httpx.Client) -> str:
    return str(client.base_url)


def receive_json(connection: socket.socket) -> bytes:
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
    return answer


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def test_raw_utf8_means_the_same_as_encoded(client: httpx.Client, url: str) -> None:
    client.post("/v1/blobs/data", params={"subject": "😁", "name": "é"}, content=b"x")
    raw = raw_exchange(url, REQUEST)
    assert raw.startswith(b"HTTP/1.1 200 ")
    encoded = raw_exchange(url, request_bytes("GET", str(httpx.URL(TARGET).raw_path, "ascii")))
    assert body_of(raw) == body_of(encoded) != b'{"items":[]}'


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_request_in_small_pieces(url: str, size: int) -> None:
    request = b"\r\n" + REQUEST  # an empty line before it is skipped
    with connect(url) as connection:
        for at in range(0, len(request), size):
            connection.sendall(request[at : at + size])
            time.sleep(0.001)
        assert receive_all(connection).startswith(b"HTTP/1.1 200 ")


def test_several_requests_on_one_connection(url: str) -> None:
    keep = REQUEST.replace(b"Connection: close\r\n", b"")
    with connect(url) as connection:
        for _ in range(3):
            connection.sendall(keep)
            assert receive_json(connection).startswith(b"HTTP/1.1 200 ")
        post = request_bytes("POST", "/v1/blobs/data?subject=😁&name=ö", "Content-Length: 2")
        connection.sendall(post.replace(b"Connection: close\r\n", b"") + b"\xff\xfe")
        assert receive_json(connection).startswith(b"HTTP/1.1 201 ")
        connection.sendall(REQUEST)
        assert receive_all(connection).startswith(b"HTTP/1.1 200 ")


def test_text_that_is_not_utf8(url: str) -> None:
    request = request_bytes("GET", "/v1/blobs?subject=?").replace(b"=?", b"=\xff")
    answer = raw_exchange(url, request)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"InvalidQuery"' in answer


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9,  # TLS
        b"POST /v1/blobs/data?subject=s HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/blobs/data?subject=s HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http(url: str, bytes_sent: bytes) -> None:
    answer = raw_exchange(url, bytes_sent)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nx-request-id: " in answer


@pytest.mark.parametrize(
    "flood",
    [
        (b"GET /", b"a"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"a: b\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: ", b"y"),
        (CHUNKED + b"1;", b"e"),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"trailer: x\r\n"),
    ],
    ids=["target", "headers", "one header", "chunk extension", "trailers"],
)
def test_a_flood_that_is_no_body(url: str, flood: tuple[bytes, bytes]) -> None:
    begin, more = flood
    sent = 0
    with connect(url) as connection:
        try:
            connection.sendall(begin)
            while sent < 100 * protocol.HEAD_BYTES_MAX:
                sent += connection.send(more * 2000)
        except OSError:
            pass
        assert sent < 100 * protocol.HEAD_BYTES_MAX, "the server must hang up"


def test_a_long_but_legal_head(client: httpx.Client) -> None:
    headers = {f"x-{number}": "y" * 1000 for number in range(40)}
    assert client.get("/healthcheck", headers=headers).status_code == 200


def test_a_head_must_come_in_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S_MAX", 0.3)
    for begin in (b"", b"GET / HTTP/1.1\r\nHo"):
        with connect(url) as connection:
            connection.sendall(begin)
            assert connection.recv(100) == b""
    # The rest of a body that was refused must come in time as well; this one would take an hour.
    with connect(url) as connection:
        connection.sendall(request_bytes("POST", "/v1/blobs/data", "Content-Length: 99999"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
        began = time.monotonic()
        try:
            while time.monotonic() - began < ANSWER_S and connection.send(b"x"):
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - began < ANSWER_S
