"""The HTTP face: what the end-to-end suite of the original leaves open."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import httpx
import pytest
import structlog
from pydantic import SecretStr

from elastron.storage.identity import BlobId

from .parts import (
    connect,
    create,
    raw_exchange,
    receive_all,
    request_bytes,
    server,
)

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_every_answer_has_its_own_request_id(client: httpx.Client) -> None:
    seen = set()
    for method, path in (
        ("GET", "/"),
        ("GET", "/healthcheck"),
        ("POST", "/v1/blobs/data"),
        ("PUT", "/v1/blobs/data"),
        ("GET", "/v1/blobs?subject=s"),
        ("GET", "/metrics"),
    ):
        answer = client.request(method, path, headers={"x-request-id": "mine"})
        assert UUID.fullmatch(answer.headers["x-request-id"])
        seen.add(answer.headers["x-request-id"])
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/blobs/data", "POST"),
        ("GET", "/v1/blobs/data", "POST"),
        ("POST", "/v1/blobs", "GET, HEAD"),
        ("POST", "/v1/blobs/data/latest", "GET, HEAD"),
        ("PATCH", "/v1/blobs/abc", "GET, HEAD, DELETE"),
        ("DELETE", "/v1/blobs/abc/data", "GET, HEAD"),
        ("OPTIONS", "/v1/blobs", "GET, HEAD"),
    ],
)
def test_wrong_methods(client: httpx.Client, method: str, path: str, allow: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.content) == (405, b"")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/blobs/a/b", "/v1/blobs/a/data/x", "/v2/blobs", "//v1/blobs", "/v1/blobs/a/"],
)
def test_unknown_paths(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (404, b"")


def test_search_with_a_slash(client: httpx.Client) -> None:
    create(client, "subject=slash")
    create(client, "subject=slash")
    answer = client.get("/v1/blobs/?subject=slash&_limit=1").json()
    assert "/v1/blobs/?" in answer["nextLink"]


def test_content_length_and_head(client: httpx.Client) -> None:
    body = os.urandom(100_000)
    made = create(client, "subject=head&name=n", body, **{"content-type": "text/x; q=1"})
    for path in (made["data"], "/v1/blobs/data/latest?subject=head", made["location"]):
        got, head = client.get(path), client.head(path)
        assert head.status_code == got.status_code == 200
        assert head.content == b""
        skip = ("x-request-id", "date")
        assert {n: v for n, v in head.headers.items() if n not in skip} == {
            n: v for n, v in got.headers.items() if n not in skip
        }
        assert int(got.headers["content-length"]) == len(got.content)
    assert client.get(made["data"]).headers["content-type"] == "text/x; q=1"
    assert client.head(made["data"] + "x").status_code == 404


def test_ranges_and_entity_tags(client: httpx.Client) -> None:
    body = os.urandom(3_000_000)
    data = create(client, "subject=range", body)["data"]
    part = client.get(data, headers={"range": "bytes=1000000-2500000"})
    assert part.status_code == 206
    assert part.content == body[1_000_000:2_500_001]
    assert part.headers["content-range"] == "bytes 1000000-2500000/3000000"
    assert part.headers["content-length"] == "1500001"
    assert client.get(data, headers={"range": "bytes=-5"}).content == body[-5:]
    beyond = client.get(data, headers={"range": "bytes=3000000-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */3000000")
    etag = part.headers["etag"]
    same = client.get(data, headers={"if-none-match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert client.get(data, headers={"if-match": '"other"'}).status_code == 412
    modified = part.headers["last-modified"]
    assert client.get(data, headers={"if-modified-since": modified}).status_code == 304
    head = client.head(data, headers={"range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (206, "10")


def test_json_is_text_only_and_unescaped(client: httpx.Client) -> None:
    made = create(client, "subject=json&name=<a%26b>&t=1&t=2&size=5&_ttl=1h")
    for value in made.values():
        assert isinstance(value, str) or all(isinstance(v, str) for v in value)
    text = client.get(made["location"]).text
    assert '"<a&b>"' in text
    assert "null" not in text
    assert client.get(made["location"]).headers["content-type"] == "application/json; charset=utf-8"


def test_the_gadgetrons_own_upload(client: httpx.Client) -> None:
    """libcurl: chunked, no Expect, and a content type that must not be believed."""
    url = str(client.base_url)
    target = "/v1/blobs/data?subject=curl&name=noise_covariance&measurement=a_b_c_d&_ttl=172800s"
    request = request_bytes(
        "POST",
        target,
        "Transfer-Encoding: chunked",
        "Content-Type: application/x-www-form-urlencoded",
    )
    body = b"5\r\na=b&c\r\n3;ext=1\r\n=%z\r\n0\r\n\r\n"
    assert raw_exchange(url, request + body).startswith(b"HTTP/1.1 201 ")
    answer = client.get("/v1/blobs/data/latest?subject=curl&measurement=a_b_c_d")
    assert answer.content == b"a=b&c=%z"
    assert answer.headers["content-type"] == "application/x-www-form-urlencoded"


def test_expect_continue(client: httpx.Client) -> None:
    with connect(str(client.base_url)) as connection:
        lines = ("Expect: 100-continue", "Content-Length: 3")
        connection.sendall(request_bytes("POST", "/v1/blobs/data?subject=expect", *lines))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert b" 201 " in receive_all(connection)


def test_content_type_is_kept_byte_for_byte(client: httpx.Client) -> None:
    url = str(client.base_url)
    line = b"Content-Type: x/y; \xfcber=\xc3\xa4"
    request = request_bytes("POST", "/v1/blobs/data?subject=ct", body=b"x")
    request = request.replace(b"Connection", line + b"\r\nConnection")
    assert b" 201 " in raw_exchange(url, request)
    answer = raw_exchange(url, request_bytes("GET", "/v1/blobs/data/latest?subject=ct"))
    assert b"\r\ncontent-type: x/y; \xfcber=\xc3\xa4\r\n" in answer


@pytest.mark.parametrize(
    "subject", ["$null", "a b", "50%", "why?", "a/b", "../../etc/passwd", "a#b", "ü", "..", "a&b=c"]
)
def test_any_subject_has_working_links(client: httpx.Client, subject: str) -> None:
    made = client.post("/v1/blobs/data", params={"subject": subject}, content=b"x").json()
    assert made["subject"] == subject
    assert client.get(made["location"]).json() == made
    assert client.get(made["data"]).content == b"x"
    assert client.delete(made["location"]).status_code == 204


def test_an_encoded_dollar_and_a_raw_path(client: httpx.Client) -> None:
    made = create(client, "subject=$null&name=dollar")
    assert client.get(made["location"].replace("$null", "%24null")).json() == made
    url = str(client.base_url)
    unicode = client.post("/v1/blobs/data", params={"subject": "ü😀"}, content=b"y").json()
    target = f"/v1/blobs/{unicode['location'].rpartition('/')[2][:37]}ü😀/data"
    assert raw_exchange(url, request_bytes("GET", target)).endswith(b"\r\n\r\ny")


def test_header_injection(client: httpx.Client) -> None:
    for value in ("a%0D%0ASet-Cookie:x", "a%0Ab", "a%00b", "a%0Db"):
        for query in (f"subject={value}", f"subject=s&name={value}", f"subject=s&t={value}"):
            answer = client.post(f"/v1/blobs/data?{query}", content=b"x")
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] in ("InvalidTag", "InvalidSubject")


def test_paths_that_climb(client: httpx.Client, server_folder: Path) -> None:
    secret = server_folder / "secret"
    secret.write_text("secret")
    uuid = str(BlobId.new("s").id)
    for segment in (f"{uuid}-../../secret", f"{uuid}-..%2F..%2Fsecret", "..%2F..%2Fsecret", "%00"):
        for ending in ("", "/data"):
            target = f"/v1/blobs/{segment}{ending}"
            answer = raw_exchange(str(client.base_url), request_bytes("GET", target))
            assert answer.startswith(b"HTTP/1.1 404 ")
            assert b"secret" not in answer


def test_delete(client: httpx.Client, server_folder: Path) -> None:
    made = create(client, "subject=delete&a=b")
    answer = client.delete(made["location"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.delete(made["location"]).status_code == 404
    assert client.get(made["data"]).status_code == 404
    assert client.get("/v1/blobs?subject=delete").json() == {"items": []}
    assert client.delete("/v1/blobs/abc").status_code == 404
    folder = BlobId("delete", "").folder
    assert not (server_folder / "blobs" / folder).exists()


def test_lost_bytes_are_an_error_not_a_404(client: httpx.Client, server_folder: Path) -> None:
    made = create(client, "subject=lost")
    (file,) = (server_folder / "blobs" / BlobId("lost", "").folder).iterdir()
    file.unlink()
    for path in (made["data"], "/v1/blobs/data/latest?subject=lost"):
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (500, b"")
        assert answer.headers["mrd-tag-subject"] == "lost"


def test_listing_all_subjects(client: httpx.Client) -> None:
    create(client, "subject=one&name=listed")
    create(client, "subject=two&name=listed")
    found = client.get("/v1/blobs?_all=true&name=listed").json()["items"]
    assert {item["subject"] for item in found} == {"one", "two"}
    assert client.get("/v1/blobs/data/latest?_all=true").status_code == 400
    # From another machine, through a proxy on this one.
    proxied = client.get("/v1/blobs?_all=true", headers={"x-forwarded-for": "10.0.0.1"})
    assert (proxied.status_code, proxied.json()["error"]["code"]) == (403, "Forbidden")


def test_health_tells_what_fails(tmp_path: Path) -> None:
    with server(tmp_path) as client:
        (tmp_path / "blobs").rename(tmp_path / "elsewhere")
        answer = client.get("/healthcheck")
        assert answer.status_code == 503
        assert answer.json() == {
            "status": "Service Unavailable",
            "errors": {"blobStore": "error accessing storage"},
        }
        (tmp_path / "elsewhere").rename(tmp_path / "blobs")
        assert client.get("/healthcheck").status_code == 200


def test_a_token(tmp_path: Path) -> None:
    with server(tmp_path, token=SecretStr("old\nnew")) as client:
        for authorization in ("", "Bearer", "Bearer wrong", "Basic old", "old"):
            answer = client.get("/v1/blobs?subject=s", headers={"authorization": authorization})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/metrics", "/unknown", "/v1/blobs/x"):
            assert client.get(path).status_code == 401
        assert client.post("/v1/blobs/data?subject=s", content=b"x").status_code == 401
        for path in ("/healthcheck", "/openapi.json", "/docs"):
            assert client.get(path).status_code == 200
        for token in ("old", "new"):
            answer = client.get("/v1/blobs?_all=true", headers={"authorization": f"bearer {token}"})
            assert answer.status_code == 200


def test_a_proxy_is_believed_only_where_it_is_trusted(tmp_path: Path) -> None:
    told = {"x-forwarded-proto": "https", "x-forwarded-host": "evil.test, storage.example:8443"}
    with server(tmp_path / "1", trusted_proxies=("127.0.0.0/8",)) as client:
        made = create(client, "subject=s", **told)
        assert made["location"].startswith("https://storage.example:8443/v1/blobs/")
        bad = {"x-forwarded-proto": "javascript", "x-forwarded-host": "a b"}
        answer = client.post("/v1/blobs/data?subject=s", content=b"x", headers=bad)
        assert answer.status_code == 400
    with server(tmp_path / "2", trusted_proxies=("10.0.0.0/8",)) as client:
        made = create(client, "subject=s", **told)
        assert made["location"].startswith(str(client.base_url))


def test_the_host_header_comes_back(client: httpx.Client) -> None:
    made = create(client, "subject=s", host="storage.test:80")
    assert made["data"].startswith("http://storage.test:80/v1/blobs/")
    for host in ("a b", "a/b", "a\\b", '"', "a:b"):
        answer = client.get("/v1/blobs?subject=s", headers={"host": host})
        assert answer.status_code == 400
    old = raw_exchange(str(client.base_url), b"GET /v1/blobs?subject=s HTTP/1.0\r\n\r\n")
    assert b"http://127.0.0.1:" in old


def test_metrics(tmp_path: Path) -> None:
    with server(tmp_path) as client:
        made = create(client, "subject=PATIENT-7&name=n", b"12345")
        client.get(made["data"])
        client.get("/v1/blobs/nonsense")
        text = client.get("/metrics").text
    assert 'elastron_storage_bytes_total{direction="in"} 5.0' in text
    assert 'elastron_storage_bytes_total{direction="out"} 5.0' in text
    wanted = (
        'elastron_storage_requests_total{method="POST",route="/v1/blobs/data",status="201"} 1.0'
    )
    assert wanted in text
    assert 'route="/v1/blobs/{id}",status="404"' in text
    assert "PATIENT" not in text


def test_logs_hold_no_patient_data(tmp_path: Path) -> None:
    lines = io.StringIO()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(lines),
    )
    with server(tmp_path) as client:
        made = create(client, "subject=PATIENT-7&name=SECRET&tag=SECRET")
        client.get(made["data"])
        client.get("/v1/blobs?subject=PATIENT-7&a=SECRET")
        client.get("/v1/blobs/PATIENT-7")
        client.get("/PATIENT-7?PATIENT-7")
        client.post("/v1/blobs/data?subject=PATIENT-7&_ttl=SECRET", content=b"x")
        (tmp_path / "blobs" / BlobId("PATIENT-7", "").folder).rename(tmp_path / "moved")
        client.get(made["data"])
        client.delete(made["location"])
    written = lines.getvalue()
    assert written.count('"event": "request"') == 8
    assert '"route": "/v1/blobs/{id}/data"' in written
    for secret in ("PATIENT", "SECRET", BlobId("PATIENT-7", "").folder):
        assert secret not in written


def test_requests_need_not_be_logged(tmp_path: Path) -> None:
    lines = io.StringIO()
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(lines))
    with server(tmp_path, log_requests=False) as client:
        client.get("/healthcheck")
    assert "/healthcheck" not in lines.getvalue()
