"""`elastron send --detach` and `elastron fetch`."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest

from elastron.wire.messages import Close, Query, Response, Text
from tests.cli.conftest import BRAIN
from tests.cli.live_gateway import Live, invoke, live_gateway
from tests.client.answers import small_image, wire_bytes
from tests.client.fake_server import Peer, fake_server
from tests.gateway.fake_gateway import FakeGateway, FakeSession
from tests.gateway.recordings import MemoryRecording
from tests.node.harness import running_node


@pytest.fixture
def live(tmp_path: Path):
    with live_gateway(lambda: FakeGateway(tmp_path)) as live:
        yield live


def finished(live: Live, *messages, outcome: str = "ok") -> str:
    """A finished scan with these messages; its ticket."""
    ticket = live.run(live.gateway.results.issue, "5e551011")
    data = wire_bytes(*messages, Close())
    live.run(
        live.gateway.results.keep, "5e551011", MemoryRecording(data), outcome=outcome, images=1
    )
    return ticket


def test_images_go_into_the_file(live: Live, tmp_path: Path):
    ticket = finished(live, small_image(), small_image())
    result = invoke("fetch", ticket, "-g", live.url, "-o", tmp_path / "o.h5", "-G", "late")
    assert "2 images in image_1" in result.stderr
    with h5py.File(tmp_path / "o.h5") as file:
        assert file["late/image_1/data"].shape[0] == 2


def test_as_json_and_again(live: Live, tmp_path: Path):
    ticket = finished(live, Text("a remark"), small_image())
    for _ in range(2):
        told = json.loads(invoke("fetch", ticket, "-g", live.url, "--json").stdout)
        assert told["ok"]
        assert told["images"] == 1
        assert told["texts"] == ["a remark"]
        assert told["gateway"] == live.url
        assert ticket not in json.dumps(told)


def test_a_scan_that_failed_is_an_error(live: Live):
    ticket = finished(live, small_image(), Text("[FFT] ERROR: no samples"), outcome="error")
    result = invoke("fetch", ticket, "-g", live.url, code=1)
    assert "[FFT] ERROR: no samples" in result.stderr
    assert "1 image" in result.stderr


def test_a_running_scan_without_waiting(live: Live):
    ticket = live.run(live.gateway.results.issue, "5e551011")
    live.gateway.sessions["5e551011"] = FakeSession("5e551011", state="queued", queue_position=2)
    result = invoke("fetch", ticket, "-g", live.url, "--no-wait", code=1)
    assert "not finished yet (queued)" in result.stderr


def test_unknown_and_expired(live: Live, tmp_path: Path):
    assert "no such result" in invoke("fetch", "x-y", "-g", live.url, code=1).stderr
    ticket = live.run(live.gateway.results.issue, "5e551011")
    live.run(live.gateway.results.discard, "5e551011")
    assert "send the scan again" in invoke("fetch", ticket, "-g", live.url, code=1).stderr
    assert not (tmp_path / "out.h5").exists()


def test_no_gateway_there():
    assert "--admin" in invoke("fetch", "x-y", "-g", "127.0.0.1:9", code=1).stderr


@pytest.mark.parametrize("url", ["ftp://x", "http://", "://"])
def test_what_is_no_url(url: str):
    assert "-g" in invoke("fetch", "x-y", "-g", url, code=2).stderr


def gateway(peer: Peer) -> None:
    detach = None
    for message in peer.messages():
        match message:
            case Query("elastron::session", number):
                told = {"session": "5e551011", "ticket": "5e551011-secret"}
                peer.send(Response(json.dumps(told), number))
            case Query("elastron::detach", number):
                detach = number
            case Close():
                peer.send(small_image(), Response("{}", detach or 0))


def test_detached_the_ticket_is_printed(run, tmp_path: Path):
    with fake_server(gateway) as port:
        result = run("send", BRAIN, "-a", f"127.0.0.1:{port}", "--detach")
    assert result.stdout == "5e551011-secret\n"
    assert "left with the gateway" in result.stderr
    assert not (tmp_path / "out.h5").exists()


def test_detached_as_json(run):
    with fake_server(gateway) as port:
        result = run("send", BRAIN, "-a", f"127.0.0.1:{port}", "--detach", "--json")
    (scan,) = json.loads(result.stdout)["scans"]
    assert (scan["session"], scan["ticket"]) == ("5e551011", "5e551011-secret")
    assert scan["bytes_sent"] > 1_000_000


def test_detaching_from_a_node_is_an_error(run, tmp_path: Path):
    with running_node(tmp_path, capacity=1) as node:
        result = run("send", BRAIN, "-a", f"127.0.0.1:{node.port}", "--detach", code=1)
    assert "no Elastron gateway" in result.stderr
    assert result.stdout == ""


def test_left_with_a_real_gateway_and_fetched(run, server, tmp_path: Path):
    left = run("send", BRAIN, "-a", server.address, "--detach", "-q").stdout.strip()
    run("send", BRAIN, "-a", server.address, "-o", tmp_path / "at_once.h5", "-G", "g")
    invoke("fetch", left, "-g", server.ready["admin"], "-o", tmp_path / "late.h5", "-G", "g")
    with h5py.File(tmp_path / "at_once.h5") as first, h5py.File(tmp_path / "late.h5") as second:
        (series,) = first["g"]
        assert list(second["g"]) == [series]
        for part in ("header", "data", "attributes"):
            assert (first["g"][series][part][()] == second["g"][series][part][()]).all()
