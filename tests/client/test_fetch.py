from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from elastron.client import ScanGarbledError, ScanLostError, ScanRefusedError, ScanStalledError
from elastron.client import fetch as fetching
from elastron.client.fetch import NotThereError, Waiting, fetch
from elastron.errors import ConnectError, DataError, DeadlineError, RemoteError
from elastron.wire.messages import Close, Text
from tests.client.answers import small_image, wire_bytes
from tests.ports import free_port

TICKET = "5e551011-a_b-c"


IMAGES = wire_bytes(Text("hello"), small_image(), small_image(), Close())


@contextlib.contextmanager
def gateway(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """An HTTP server that answers every GET so; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def says(status: int, body: bytes = b"", *, announced: int | None = None):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("content-length", str(len(body) if announced is None else announced))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(fetching, "_PAUSE_S", 0.001)


def test_images_texts_and_figures_come():
    asked = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        says(200, IMAGES)(handler)

    seen = []
    with gateway(answer) as url:
        result = fetch(url, TICKET, on_bytes=lambda *figures: seen.append(figures))
    assert asked == [f"/results/{TICKET}"]
    assert len(result.images) == result.image_count == 2
    assert result.texts == ["hello"]
    assert seen[-1] == (len(IMAGES), len(IMAGES))


def test_a_running_scan_is_waited_for():
    told = [
        {"session": "a", "state": "queued", "queue_position": 2},
        {"session": "a", "state": "running", "queue_position": None, "images": 1},
    ]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        says(202, json.dumps(told.pop(0)).encode())(handler) if told else says(200, IMAGES)(handler)

    waits: list[Waiting] = []
    images = []
    with gateway(answer) as url:
        result = fetch(url, TICKET, on_waiting=waits.append, on_image=images.append)
    assert [(wait.state, wait.queue_position, wait.images) for wait in waits] == [
        ("queued", 2, 0),
        ("running", None, 1),
    ]
    assert len(images) == result.image_count == 2
    assert result.images == []


def test_without_waiting_a_running_scan_is_an_error():
    with gateway(says(202, b'{"state": "queued"}')) as url, pytest.raises(DeadlineError) as raised:
        fetch(url, TICKET, wait=False)
    assert "queued" in str(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (404, b'{"error": "there is no such result"}', NotThereError, "no such result"),
        (410, b'{"error": "kept long enough"}', NotThereError, "kept long enough"),
        (500, b"oops", RemoteError, "HTTP 500"),
        (503, b'["x"]', RemoteError, "HTTP 503"),
        (403, b"x" * 100_000, RemoteError, "HTTP 403"),
    ],
)
def test_what_is_not_there(status: int, body: bytes, kind: type[Exception], words: str):
    with gateway(says(status, body)) as url, pytest.raises(kind, match=words):
        fetch(url, TICKET)


def test_a_scan_that_failed_is_told_with_its_errors():
    body = wire_bytes(small_image(), Text("[FFT] ERROR: no samples"), Close())
    with gateway(says(200, body)) as url, pytest.raises(ScanRefusedError) as raised:
        fetch(url, TICKET)
    assert str(raised.value) == "[FFT] ERROR: no samples"
    assert raised.value.result.image_count == 1


@pytest.mark.parametrize("cut", [len(IMAGES) - 1, len(IMAGES) - 2, len(IMAGES) // 2, 1, 0])
@pytest.mark.parametrize("honest", [True, False], ids=["shorter", "broken off"])
def test_images_that_break_off_are_not_taken_for_all(cut: int, honest: bool):
    body = IMAGES[:cut]
    answer = says(200, body, announced=None if honest else len(IMAGES))
    with gateway(answer) as url, pytest.raises(ScanLostError, match="break off"):
        fetch(url, TICKET)


def test_what_is_no_stream_is_told():
    body = wire_bytes(small_image()) + b"\xff\xff nonsense"
    with gateway(says(200, body)) as url, pytest.raises(ScanGarbledError, match="1 image came"):
        fetch(url, TICKET)


def test_images_that_stop_coming_are_given_up():
    stop = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        says(200, IMAGES[:100], announced=len(IMAGES))(handler)
        handler.wfile.flush()
        stop.wait(60)

    with gateway(answer) as url:
        with pytest.raises(ScanStalledError):
            fetch(url, TICKET, timeout_s=3)
        stop.set()


def test_nobody_there():
    with pytest.raises(ConnectError, match="--admin"):
        fetch(f"http://127.0.0.1:{free_port()}", TICKET)


@pytest.mark.parametrize("ticket", ["", "../fleet", "a b", "a/b", "ä", "a\n"])
def test_tickets_lead_nowhere_else(ticket: str):
    with pytest.raises(DataError, match="whole"):
        fetch("http://127.0.0.1:9", ticket)
