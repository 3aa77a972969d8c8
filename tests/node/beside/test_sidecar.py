"""A sidecar beside a stand-in for the Gadgetron, and beside a node of ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from elastron.errors import ElastronError
from elastron.node.beside import Sidecar, SidecarSettings
from elastron.service.workers import parse_workers
from elastron.wire.messages import Close, ConfigName, HeaderXml

from ..harness import HEADER, Peer, running_node, scan, stream_config, wait_for
from .stand_in import StandIn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's table")

FAST = {
    "admin": "127.0.0.1:0",
    "probe_interval_s": 0.1,
    "probe_timeout_s": 60,
    "gateway_timeout_s": 60,
    "look_interval_s": 0.05,
    "settle_s": 0.3,
    "quiet_s": 0.3,
}


class Running:
    """A sidecar in a thread."""

    def __init__(self, **settings: Any) -> None:
        self._started: Future[str] = Future()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settings = SidecarSettings(**FAST | settings)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self.url = f"http://{self._started.result(60)}"

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with Sidecar(self._settings) as sidecar:
                self._started.set_result(str(sidecar.admin_address))
                await self._stop.wait()
        except ElastronError as error:
            self._started.set_exception(error)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, trust_env=False)

    def code(self, path: str) -> int:
        return self.get(path).status_code

    def status(self) -> dict[str, Any]:
        return self.get("/status").json()

    def metric(self, name: str) -> float:
        match = re.search(rf"^{name} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert match is not None
        return float(match[1])

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


@contextlib.contextmanager
def sidecar(**settings: Any) -> Iterator[Running]:
    running = Running(**settings)
    try:
        wait_for(lambda: running.code("/healthz") == 200, what="health")
        yield running
    finally:
        running.stop()


@pytest.fixture
def gadgetron(tmp_path: Path) -> Iterator[StandIn]:
    stand_in = StandIn(tmp_path / "gadgetron.log")
    yield stand_in
    stand_in.stop()


@pytest.fixture
def beside(gadgetron: StandIn, tmp_path: Path) -> Iterator[Running]:
    log = tmp_path / "gadgetron.log"
    with sidecar(node=gadgetron.address, log=log, capacity=2, capabilities=["gpu"]) as running:
        yield running


def begin(port: int) -> Peer:
    return Peer(port).send(ConfigName("default.xml"), HeaderXml(HEADER))


def end(peer: Peer) -> None:
    with peer:
        peer.send(Close()).receive()


def test_an_idle_gadgetron(beside: Running, gadgetron: StandIn) -> None:
    asked = gadgetron.connections
    wait_for(lambda: gadgetron.connections > asked + 3, what="more questions")
    for path in ("/livez", "/healthz", "/readyz"):
        assert beside.code(path) == 200
    status = beside.status()
    assert status.pop("version")
    # Neither the questions nor these very requests are scans.
    assert status == {
        "capacity": 2,
        "running": 0,
        "draining": False,
        "ready": True,
        "capabilities": ["gpu"],
        "memory_bytes": None,
        "sessions": 0,
    }
    assert beside.get("/sessions").json() == {"capacity": 2, "draining": False, "sessions": []}
    for name in ("activity", "reconstruction_start_total", "reconstruction_finish_total"):
        assert beside.metric(f"gadgetron_{name}") == 0
    assert beside.metric("elastron_capacity") == 2
    assert beside.metric("elastron_gadgetron_up") == 1


def test_scans_are_counted(beside: Running, gadgetron: StandIn) -> None:
    first, second = begin(gadgetron.port), begin(gadgetron.port)
    # Connections that the Gadgetron itself opens, and those of others, are not its scans.
    with StandInElsewhere() as elsewhere, Peer(elsewhere.port):
        wait_for(lambda: beside.status()["running"] == 2, what="two scans")
        wait_for(lambda: beside.metric("gadgetron_reconstruction_start_total") == 2, what="starts")
        # A look may miss a connection once: the kernel's table changes as it is read.
        wait_for(lambda: beside.metric("gadgetron_activity") == 2, what="two at work")
        assert beside.metric("gadgetron_reconstruction_finish_total") == 0
        sessions = beside.get("/sessions").json()["sessions"]
        assert {each["state"] for each in sessions} == {"STREAM"}
        assert {each["peer"] for each in sessions} == {
            f"127.0.0.1:{peer.socket.getsockname()[1]}" for peer in (first, second)
        }
        assert all(each["seconds"] >= 0.3 for each in sessions)
        second.half_close()  # it still reads
        end(first)
        wait_for(lambda: beside.status()["running"] == 1, what="one scan")
    gadgetron.stop()  # the other one's process dies, without a line
    second.socket.close()
    wait_for(lambda: beside.metric("gadgetron_reconstruction_finish_total") == 2, what="ends")
    assert beside.metric("gadgetron_activity") == 0
    wait_for(lambda: beside.code("/healthz") == 503, what="no health")
    assert beside.code("/readyz") == 503
    assert beside.code("/livez") == 200


class StandInElsewhere:
    """A listener whose connections stay."""

    def __enter__(self) -> StandInElsewhere:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def test_one_that_hangs_is_not_healthy(gadgetron: StandIn) -> None:
    with sidecar(node=gadgetron.address, probe_timeout_s=1) as beside:
        gadgetron.silent.set()
        wait_for(lambda: beside.code("/healthz") == 503, what="no health")
        assert "no answer within 1 s" in beside.get("/readyz").text
        assert beside.status()["ready"] is False
        gadgetron.silent.clear()
        wait_for(lambda: beside.code("/healthz") == 200, what="health")
        assert beside.status()["running"] == 0


def test_without_a_log_connections_are_counted(gadgetron: StandIn) -> None:
    with sidecar(node=gadgetron.address) as beside:
        peer = begin(gadgetron.port)
        wait_for(lambda: beside.metric("gadgetron_reconstruction_start_total") == 1, what="a start")
        end(peer)
        wait_for(lambda: beside.metric("gadgetron_reconstruction_finish_total") == 1, what="an end")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_drain_waits_for_scans(beside: Running, gadgetron: StandIn, method: str) -> None:
    peer = begin(gadgetron.port)
    wait_for(lambda: beside.status()["running"] == 1, what="a scan")
    site = {"sec-fetch-site": "cross-site"}
    refused = httpx.request(
        method, beside.url + "/drain", headers=site, timeout=60, trust_env=False
    )
    assert refused.status_code == 403
    assert beside.code("/readyz") == 200
    with ThreadPoolExecutor() as pool:
        # Twice: the preStop of both containers asks.
        drains = [
            pool.submit(httpx.request, method, beside.url + "/drain", timeout=60, trust_env=False)
            for _ in range(2)
        ]
        wait_for(lambda: beside.status()["draining"], what="draining")
        assert beside.get("/readyz").text == "draining\n"
        assert beside.code("/healthz") == 200
        time.sleep(1)  # it must wait longer than any of its own intervals
        assert not any(each.done() for each in drains)
        end(peer)
        for each in drains:
            assert each.result(60).json() == {"drained": True, "left": 0}


def test_a_drain_has_an_end(gadgetron: StandIn) -> None:
    with sidecar(node=gadgetron.address, drain_timeout_s=0.5) as beside, begin(gadgetron.port):
        wait_for(lambda: beside.status()["sessions"] == 1, what="a scan")
        answer = httpx.post(beside.url + "/drain", timeout=60, trust_env=False)
        assert answer.json() == {"drained": False, "left": 1}


# --- workers --------------------------------------------------------------------------------------


class _Gateway(BaseHTTPRequestHandler):
    answer = "[]"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = self.answer.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        pass


@contextlib.contextmanager
def gateway(answer: str) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (_Gateway,), {"answer": answer, "asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_workers_of_the_gateway(gadgetron: StandIn) -> None:
    others = ["10.0.0.2:9002", "[fd00::1]:9002"]
    with gateway(json.dumps([*others, gadgetron.address])) as (url, asked):
        with sidecar(node=gadgetron.address, gateway=url) as beside:
            text = beside.get("/workers").text
            assert text == '["10.0.0.2:9002", "[fd00::1]:9002"]'
            assert parse_workers(text) == others
        assert asked == [f"/workers?not=127.0.0.1%3A{gadgetron.port}"]
        with sidecar(node=gadgetron.address, gateway=url, own_host="10.0.0.9") as beside:
            assert parse_workers(beside.get("/workers").text) == [*others, gadgetron.address]
        assert asked[-1] == f"/workers?not=10.0.0.9%3A{gadgetron.port}"


@pytest.mark.parametrize("answer", ["[]", "no list", '["a b"]', None])
def test_without_workers_it_works_alone(gadgetron: StandIn, answer: str | None) -> None:
    with (
        gateway(answer or "") as (url, _),
        sidecar(node=gadgetron.address, gateway=None if answer is None else url) as beside,
    ):
        assert beside.get("/workers").text == f'["{gadgetron.address}"]'


# --- the chart's scripts --------------------------------------------------------------------------


def _script(name: str, url: str) -> str:
    chart = Path(__file__).parents[3] / "helm/gadgetron/templates/scripts.yaml"
    plain = "\n".join(row for row in chart.read_text().splitlines() if "{{" not in row)
    return yaml.safe_load(plain)["data"][name].replace("http://127.0.0.1:9080", url)


@pytest.mark.parametrize("program", ["curl", "wget"])
def test_the_scripts_of_the_chart(
    beside: Running, gadgetron: StandIn, tmp_path: Path, program: str
) -> None:
    found, shell = shutil.which(program), shutil.which("sh")
    if found is None or shell is None:
        pytest.skip(f"no {program} here")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / program).symlink_to(found)

    def run(name: str) -> subprocess.Popen[str]:
        script = _script(name, beside.url)
        environment = {"PATH": str(folder)}
        return subprocess.Popen(
            [shell, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
        )

    workers = run("workers.sh")
    assert workers.communicate(timeout=60)[0] == f'["{gadgetron.address}"]'
    peer = begin(gadgetron.port)
    wait_for(lambda: beside.status()["running"] == 1, what="a scan")
    drain = run("drain.sh")
    wait_for(lambda: beside.status()["draining"], what="draining")
    assert drain.poll() is None
    end(peer)
    assert json.loads(drain.communicate(timeout=60)[0]) == {"drained": True, "left": 0}
    assert drain.returncode == 0


# --- as a process, beside a node of ours ----------------------------------------------------------


def test_beside_a_node_of_ours(tmp_path: Path) -> None:
    """Our node speaks the protocol and logs the states as the Gadgetron does."""
    command = "import typer; from elastron.cli.sidecar import sidecar; typer.run(sidecar)"
    with running_node(tmp_path, capacity=2) as node:
        log_path = tmp_path / "sidecar.log"
        options = {
            "node": f"127.0.0.1:{node.port}",
            "admin": "127.0.0.1:0",
            "capacity": "2",
            "log": str(node.log_path),
            "log-format": "json",
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        environment = os.environ | {
            f"ELASTRON_SIDECAR__{name.upper()}": str(value)
            for name, value in FAST.items()
            if name != "admin"
        }
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", command, *flags], stderr=log, env=environment
            )
        try:
            found = wait_for(
                lambda: re.search(r'"admin": "([^"]+)"', log_path.read_text()),
                what="an address",
                timeout_s=120,
            )
            url = f"http://{found[1]}"
            beside = Running.__new__(Running)
            beside.url = url
            wait_for(lambda: beside.code("/readyz") == 200, what="readiness")
            before = beside.metric("gadgetron_reconstruction_start_total")
            peer = node.connect()
            peer.send(stream_config("SlowGadget"), HeaderXml(HEADER), scan())
            wait_for(lambda: beside.status()["running"] == 1, what="a scan")
            wait_for(
                lambda: beside.metric("gadgetron_reconstruction_start_total") == before + 1,
                what="a start",
            )
            # A question of the sidecar's is a session of the node's, for a moment.
            wait_for(lambda: node.metric("gadgetron_activity") == 1, what="the scan alone")
            process.send_signal(signal.SIGTERM)  # it answers for the node to the end
            wait_for(lambda: beside.code("/readyz") == 503, what="draining")
            assert process.poll() is None
            end(peer)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
