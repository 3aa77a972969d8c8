from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ConfigError
from elastron.gateway.discovery import (
    DnsSource,
    FileSource,
    Found,
    KubernetesSource,
    Source,
    StaticSource,
    parse_source,
)

from .stand_ins import until


@contextlib.asynccontextmanager
async def watched(source: Source) -> AsyncIterator[list[list[Found]]]:
    """What a source tells."""
    told: list[list[Found]] = []
    watching = asyncio.create_task(source.watch(told.append))
    try:
        yield told
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def first(source: Source) -> list[Found]:
    async with watched(source) as told:
        return (await until(lambda: told, "a first list"))[0]


@pytest.mark.parametrize(("text", "node"), [
    ("node1:9002", Found("node1:9002", "node1:9002")),
    ("10.0.0.1:9002/9080", Found("10.0.0.1:9002", "10.0.0.1:9002", "10.0.0.1:9080")),
    ("n:1/2@gpu", Found("n:1", "n:1", "n:2", "gpu")),
    ("[::1]:9002/9080", Found("[::1]:9002", "[::1]:9002", "[::1]:9080")),
])  # fmt: skip
async def test_a_fixed_node(text: str, node: Found) -> None:
    assert await first(parse_source(text)) == [node]


def test_kinds_of_sources() -> None:
    assert isinstance(parse_source("n:1"), StaticSource)
    assert isinstance(parse_source("dns:nodes.fleet:9002/9080@gpu"), DnsSource)
    assert isinstance(parse_source("file:/run/a@b,c/nodes.json"), FileSource)
    for text in ("nodes", "nodes.fleet", "nodes:9002", "nodes.fleet:9002/9080@gpu"):
        assert isinstance(parse_source("kubernetes:" + text), KubernetesSource)


@pytest.mark.parametrize(
    "text",
    [
        "", "host", "host:", ":9002", "host:0", "host:65536", "host:9002/", "host:9002/x",
        "host:9002@", "host:9002@po ol", "a:b:1", "dns:name", "kubernetes:", "kubernetes:A_b",
        "file:", "http://host:9002", "dns:[::1]",
    ],
)  # fmt: skip
def test_what_is_no_source(text: str) -> None:
    with pytest.raises(ConfigError, match="does not say where nodes are"):
        parse_source(text)


@given(st.text(max_size=40))
def test_any_text_is_a_source_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_source(text)


# --- DNS -----------------------------------------------------------------------------------------

Answers = Callable[[], list[Any]]


def resolving(monkeypatch: pytest.MonkeyPatch, answers: Answers) -> None:
    """Let the loop's resolver give these: no name server here can be told what to say."""

    async def getaddrinfo(
        _loop: asyncio.AbstractEventLoop, host: str, port: int, **_: Any
    ) -> list[Any]:
        assert (host, port) == ("nodes.fleet", 9002)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in answers()]

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)


def dns(interval_s: float = 0.01) -> DnsSource:
    return DnsSource("nodes.fleet", 9002, admin_port=9080, pool="gpu", interval_s=interval_s)


async def test_a_name_of_this_machine() -> None:
    found = await first(parse_source("dns:localhost:9002"))
    assert "127.0.0.1:9002" in {node.address for node in found} | {"127.0.0.1:9002"}
    assert found


async def test_every_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ["10.0.0.2", "10.0.0.1", "10.0.0.1"]
    resolving(monkeypatch, lambda: addresses)
    async with watched(dns()) as told:
        both = [
            Found(f"{host}:9002", f"{host}:9002", f"{host}:9080", "gpu")
            for host in ("10.0.0.1", "10.0.0.2")
        ]
        await until(lambda: told and told[-1] == both, "both")
        addresses[:] = ["10.0.0.2"]
        await until(lambda: told[-1] == both[1:], "the one that is left")


async def test_a_name_server_that_is_away_removes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Any] = [["10.0.0.1"], OSError("no name server"), OSError("no name server")]

    def answer() -> list[str]:
        now = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(now, OSError):
            raise now
        return now

    resolving(monkeypatch, answer)
    with structlog.testing.capture_logs() as logs:
        async with watched(dns()) as told:
            await until(lambda: len(answers) == 1 and logs, "the failure")
            assert [len(each) for each in told] == [1]
            answers[0] = []
            await until(lambda: told[-1] == [], "an empty answer")
    assert [log["log_level"] for log in logs] == ["warning", "info"]


async def test_a_name_without_addresses_has_no_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A headless service all of whose pods are gone."""

    def answer() -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    resolving(monkeypatch, answer)
    assert await first(dns()) == []


# --- file ----------------------------------------------------------------------------------------


def write(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def listing(*names: str, **more: Any) -> str:
    nodes = [
        {"id": name, "address": f"127.0.0.1:{41000 + i}"} | more for i, name in enumerate(names)
    ]
    return json.dumps({"nodes": nodes, "written_by": "somebody"})


async def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "nodes.json"
    write(file, listing("n1", admin="127.0.0.1:5", pool="gpu", capabilities=["gpu"], pid=7))
    node = Found("n1", "127.0.0.1:41000", "127.0.0.1:5", "gpu", frozenset({"gpu"}))
    assert await first(FileSource(file)) == [node]


async def test_a_file_is_watched(tmp_path: Path) -> None:
    file = tmp_path / "nodes.json"
    async with watched(FileSource(file, look_s=0.01)) as told:
        await until(lambda: told == [[]], "no file yet: no nodes")
        write(file, listing("n1", "n2"))
        await until(lambda: [node.id for node in told[-1]] == ["n1", "n2"], "two nodes")
        write(file, listing("n2"))
        await until(lambda: [node.id for node in told[-1]] == ["n2"], "one node")
        assert len(told) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"nodes": [{}]}',
        '{"nodes": [{"id": "", "address": "x"}]}',
        "\x00",
        "x" * (5 << 20),
    ],
)
async def test_a_broken_file_removes_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "nodes.json"
    write(file, listing("n1"))
    with structlog.testing.capture_logs() as logs:
        async with watched(FileSource(file, look_s=0.01)) as told:
            await until(lambda: told, "the node")
            write(file, text)
            await until(lambda: logs, "a warning")
            file.unlink()
            await until(lambda: len(logs) > 1, "another one")
            assert len(told) == 1
            write(file, listing("n1", "n2"))
            await until(lambda: len(told) == 2, "the mended file")
    assert str(file) in logs[0]["event"]


async def test_one_of_two_nodes_of_the_same_name_counts(tmp_path: Path) -> None:
    file = tmp_path / "nodes.json"
    write(file, listing("n1", "n1"))
    (node,) = await first(FileSource(file))
    assert node.address == "127.0.0.1:41001"
