"""The client against a server that behaves, one that misbehaves, and none."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from elastron.blobs.client import HttpBlobStore, query_string
from elastron.blobs.port import BlobKey
from elastron.errors import ConfigError, StorageError, StorageUnavailableError

KEY = BlobKey(
    subject="Ä/&=? 7",
    name="noise_covariance",
    device="d",
    session="s",
    tags={"measurement": "a_b_c_d"},
)

Answer = tuple[int, bytes]
Script = Callable[[str, str, dict[str, str], bytes], Answer | None]


@contextlib.contextmanager
def scripted(script: Script) -> Iterator[str]:
    """A server that answers as the script says; None cuts the connection."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = script(self.command, self.path, headers, body)
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            status, content = answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().handle()

        def finish(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().finish()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Memory:
    """Enough of a storage server to keep blobs."""

    def __init__(self) -> None:
        self.blobs: list[tuple[dict[str, str], bytes]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def __call__(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> Answer | None:
        self.requests.append((method, target, headers))
        parts = urlsplit(target)
        tags = dict(parse_qsl(parts.query, keep_blank_values=True))
        if (method, parts.path) == ("POST", "/v1/blobs/data"):
            tags.pop("_ttl")
            self.blobs.append((tags, body))
            return 201, b"{}"
        if (method, parts.path) == ("GET", "/v1/blobs/data/latest"):
            found = [data for kept, data in self.blobs if tags.items() <= kept.items()]
            return (200, found[-1]) if found else (404, b'{"error":{"code":"EmptyResults"}}')
        return 404, b""


def client(url: str, **more: Any) -> HttpBlobStore:
    pauses: list[float] = more.pop("pauses", [])
    return HttpBlobStore(url, sleep=pauses.append, **more)


def test_store_and_fetch() -> None:
    memory = Memory()
    with scripted(memory) as url:
        store = client(url + "/")
        assert store.latest(KEY) is None
        store.store(KEY, b"first", ttl_s=172_800)
        store.store(KEY, b"second\x00", ttl_s=172_800)
        assert store.latest(KEY) == b"second\x00"
        assert store.latest(BlobKey("other", "noise_covariance")) is None
        store.close()
        assert store.latest(KEY) == b"second\x00"
        store.close()


def test_the_request_is_the_gadgetrons() -> None:
    memory = Memory()
    with scripted(memory) as url:
        store = client(url)
        store.store(KEY, b"x", ttl_s=172_800)
        store.close()
    ((method, target, headers),) = memory.requests
    assert method == "POST"
    assert target == (
        "/v1/blobs/data?subject=%C3%84%2F%26%3D%3F%207&device=d&session=s"
        "&name=noise_covariance&measurement=a_b_c_d&_ttl=172800s"
    )
    assert headers["content-type"] == "application/octet-stream"
    assert "authorization" not in headers


def test_what_is_not_known_is_not_asked_for() -> None:
    assert query_string(BlobKey("$null", "n", device="d")) == "subject=%24null&device=d&name=n"


def test_a_token() -> None:
    memory = Memory()
    with scripted(memory) as url:
        store = client(url, token="secret")  # noqa: S106
        store.latest(KEY)
        store.close()
    assert memory.requests[0][2]["authorization"] == "Bearer secret"


@pytest.mark.parametrize("failure", [None, (500, b""), (502, b""), (503, b"{}"), (429, b"")])
def test_a_failure_that_passes_is_retried(failure: Answer | None) -> None:
    memory = Memory()
    left = [failure, failure]
    pauses: list[float] = []

    def flaky(*request: Any) -> Answer | None:
        return left.pop() if left else memory(*request)

    with scripted(flaky) as url:
        store = client(url, pauses=pauses, backoff_s=1.0)
        store.store(KEY, b"x", ttl_s=60)
        left += [failure, failure]
        assert store.latest(KEY) == b"x"
        store.close()
    assert len(pauses) == 4
    for first, second in zip(pauses[::2], pauses[1::2], strict=True):
        assert 0.5 <= first <= 1.5
        assert 1.0 <= second <= 3.0


@pytest.mark.parametrize("status", [400, 401, 403, 413, 507, 302])
def test_a_refusal_is_final(status: int) -> None:
    asked: list[str] = []

    def refuse(method: str, *_: Any) -> Answer:
        asked.append(method)
        content = {"error": {"code": "InvalidTag", "message": "quotes Ä/&=? 7"}}
        return status, json.dumps(content).encode()

    with scripted(refuse) as url:
        store = client(url)
        for call in (lambda: store.store(KEY, b"x", ttl_s=60), lambda: store.latest(KEY)):
            with pytest.raises(StorageError, match=rf"HTTP {status} \(InvalidTag\)") as error:
                call()
            assert not isinstance(error.value, StorageUnavailableError)
            assert "Ä" not in str(error.value), "a foreign server's text stays out"
        store.close()
    assert asked == ["POST", "GET"]


def test_a_missing_place_to_store_is_an_error() -> None:
    with scripted(lambda *_: (404, b"")) as url:
        store = client(url)
        with pytest.raises(StorageError, match="HTTP 404"):
            store.store(KEY, b"x", ttl_s=60)
        store.close()


def test_nobody_there() -> None:
    with scripted(lambda *_: (200, b"")) as url:
        pass
    pauses: list[float] = []
    store = client(url, attempts=3, pauses=pauses)
    with pytest.raises(StorageUnavailableError, match="3 tries") as error:
        store.latest(KEY)
    assert len(pauses) == 2
    assert "Ä" not in str(error.value)
    assert "%C3" not in str(error.value)
    store.close()


def test_a_server_that_stays_down() -> None:
    with scripted(lambda *_: (503, b"")) as url:
        store = client(url, attempts=2)
        with pytest.raises(StorageUnavailableError, match="HTTP 503"):
            store.store(KEY, b"x", ttl_s=60)
        store.close()


def test_a_silent_server() -> None:
    release = threading.Event()

    def silent(*_: Any) -> Answer:
        release.wait(60)
        return 200, b""

    with scripted(silent) as url:
        store = client(url, attempts=1, timeout_s=0.1)
        with pytest.raises(StorageUnavailableError, match="Timeout"):
            store.latest(KEY)
        release.set()
        store.close()


def test_an_answer_cut_off() -> None:
    class Short(bytes):
        def __len__(self) -> int:
            return 100

    with scripted(lambda *_: (200, Short(b"half"))) as url:
        store = client(url, attempts=2, timeout_s=0.5)
        with pytest.raises(StorageUnavailableError):
            store.latest(KEY)
        store.close()


def test_an_answer_too_large() -> None:
    with scripted(lambda *_: (200, b"x" * 1001)) as url:
        store = client(url, bytes_max=1000)
        with pytest.raises(StorageError, match="1000 bytes"):
            store.latest(KEY)
        store.close()


def test_health() -> None:
    for status, error in ((200, None), (503, StorageUnavailableError), (404, StorageError)):
        with scripted(lambda *_, status=status: (status, b"{}")) as url:
            store = client(url, attempts=1)
            with pytest.raises(error) if error else contextlib.nullcontext():
                store.check()
            store.close()


def test_threads() -> None:
    memory = Memory()
    with scripted(memory) as url, ThreadPoolExecutor(8) as pool:
        store = client(url)

        def one(number: int) -> None:
            key = BlobKey(f"s{number}", "n")
            store.store(key, str(number).encode(), ttl_s=60)
            assert store.latest(key) == str(number).encode()

        list(pool.map(one, range(50)))
        store.close()


def _fetch(store: HttpBlobStore, results: Any) -> None:
    results.put(store.latest(KEY))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_its_own_connections() -> None:
    memory = Memory()
    context = multiprocessing.get_context("fork")
    with scripted(memory) as url:
        store = client(url)
        store.store(KEY, b"x", ttl_s=60)  # opens a connection
        results = context.Queue()
        child = context.Process(target=_fetch, args=(store, results))
        child.start()
        assert results.get(timeout=60) == b"x"
        child.join(60)
        assert store.latest(KEY) == b"x"
        store.close()


def test_urls_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with scripted(Memory()) as url:
        store = client(url)
        store.store(KEY, b"x", ttl_s=60)
        store.close()
    assert "subject" not in caplog.text


@pytest.mark.parametrize("url", ["", "localhost:3333", "ftp://host", "http://", "http:///path"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ConfigError, match="URL"):
        HttpBlobStore(url)


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="certificate"):
        HttpBlobStore("https://host", ca_file=tmp_path / "missing")
    with pytest.raises(ConfigError, match="attempt"):
        HttpBlobStore("http://host", attempts=0)
