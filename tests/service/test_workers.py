"""The Gadgetron's list of workers and its command, to the letter; and the gateway's."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ConfigError, ConnectError, ElastronError, RemoteError
from elastron.service.workers import (
    command_workers,
    format_workers,
    gateway_workers,
    parse_workers,
    split_command,
)
from tests.ports import free_port


@pytest.mark.parametrize(
    ("text", "workers"),
    [
        ('["localhost:9003"]', ["localhost:9003"]),
        ('["localhost:9003", "localhost:9004"]\n', ["localhost:9003", "localhost:9004"]),
        (' [ "a:1"\n,\t"b:gadgetron" ] ', ["a:1", "b:gadgetron"]),
        ('["[::1]:9002","[fe80::1%eth0]:9002"]', ["[::1]:9002", "[fe80::1%eth0]:9002"]),
        ('[" a : 1"]', ["a :1"]),  # blanks before a colon belong to the host, as in the original
        ('["a:1:2"]', ["a:1:2"]),
    ],
)
def test_lists_that_the_gadgetron_takes(text: str, workers: list[str]) -> None:
    assert parse_workers(text) == workers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '["a:1"',
        '"a:1"',
        '["a:1"] and more',
        'x["a:1"]',
        '["a:1",]',
        '["a"]',
        '["a:"]',
        '[":1"]',
        '[" :1"]',
        '["::1:9002"]',
        "['a:1']",
        '[["a:1"]]',
        '["a:1" "b:2"]',
        '{"a": 1}',
        "[a:1]",
        '["[]:1"]',
    ],
)
def test_everything_else_is_no_list(text: str) -> None:
    with pytest.raises(ConfigError, match="not a list of workers"):
        parse_workers(text)


@given(st.text('[]":, ab1\\', max_size=30))
def test_any_text_is_a_list_or_a_clear_error(text: str) -> None:
    try:
        workers = parse_workers(text)
    except ConfigError:
        return
    assert workers


hosts = st.from_regex(r"[a-z0-9.-]{1,20}|\[[0-9a-f:]{2,20}\]", fullmatch=True)
addresses = st.builds(lambda host, port: f"{host}:{port}", hosts, st.integers(1, 65535))


@given(st.lists(addresses, min_size=1))
def test_our_list_is_read_as_it_was_written(workers: list[str]) -> None:
    text = format_workers(workers)
    assert parse_workers(text) == workers
    assert json.loads(text) == workers


def test_what_cannot_be_listed_is_refused() -> None:
    assert format_workers([]) == "[]"
    for bad in ('a"b:1', "a", "a[b:1", " a:1"):
        with pytest.raises(ConfigError):
            format_workers([bad])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("printenv WORKERS", ["printenv", "WORKERS"]),
        # The original's own integration test: quotes within a word stay.
        (
            'echo ["localhost:9003", "localhost:9004"]',
            ["echo", '["localhost:9003",', '"localhost:9004"]'],
        ),
        ('  a   "b c"  d"e f"g ', ["a", "b c", 'd"e f"g']),
        (r'say "\"quoted\""', ["say", '"quoted"']),
        ("a;b|c $D && `e` *", ["a;b|c", "$D", "&&", "`e`", "*"]),
        ("a\tb", ["a\tb"]),
        ('open "end here', ["open", '"end here']),
        ("", []),
    ],
)
def test_commands_are_cut_as_by_the_gadgetron(command: str, words: list[str]) -> None:
    assert split_command(command) == words


def test_a_commands_list() -> None:
    assert command_workers('echo ["localhost:9003", "localhost:9004"]', 60) == [
        "localhost:9003",
        "localhost:9004",
    ]


def test_exit_status_and_stderr_do_not_matter(tmp_path: Path) -> None:
    script = tmp_path / "list.sh"
    script.write_text("#!/bin/sh\necho noise >&2\necho '[\"a:1\"]'\nexit 3\n")
    script.chmod(0o755)
    assert command_workers(str(script), 60) == ["a:1"]


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    for command, expected in (
        (str(tmp_path / "missing"), "cannot be run"),
        ("", "is empty"),
        ("true", "not a list of workers"),
    ):
        with pytest.raises(ConfigError, match=expected):
            command_workers(command, 60)


def test_a_command_that_hangs_is_given_up() -> None:
    with pytest.raises(ConnectError, match=r"within 0\.2 s"):
        command_workers("sleep 1000", 0.2)


@contextmanager
def gateway(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that always answers the same; its URL, and the paths asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_gateways_list() -> None:
    with gateway(200, b'["10.0.0.1:9002", "[fd00::1]:9002"]') as (url, asked):
        workers = gateway_workers(url + "/", 60, exclude="[fd00::2]:9002")
        assert workers == ["10.0.0.1:9002", "[fd00::1]:9002"]
        assert gateway_workers(url, 60) == workers
    assert asked == ["/workers?not=%5Bfd00%3A%3A2%5D%3A9002", "/workers"]


@pytest.mark.parametrize("body", [b"", b"{}", b'"a:1"', b"[1]", b'["a"]', b'["a\\"b:1"]', b"\xff"])
def test_an_answer_that_is_no_list_is_named(body: bytes) -> None:
    with gateway(200, body) as (url, _), pytest.raises(RemoteError, match="list of nodes"):
        gateway_workers(url, 60)


def test_a_gateway_that_cannot_be_asked_is_named() -> None:
    with gateway(200, b"[]") as (url, _):
        assert gateway_workers(url, 60) == []
    with pytest.raises(ConnectError, match="does not answer"):
        gateway_workers(f"http://127.0.0.1:{free_port()}", 60)
    with gateway(503, b"draining") as (url, _), pytest.raises(RemoteError, match="503"):
        gateway_workers(url, 60)
    for wrong in ("gateway:9080", "ftp://a", "http://"):
        with pytest.raises(ElastronError, match="is not the URL"):
            gateway_workers(wrong, 60)
