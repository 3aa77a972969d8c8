"""`elastron status`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from elastron.cli.status_tables import Rates, tables
from elastron.fleet.local.folder import Record, Role, StateFolder
from elastron.fleet.local.identity import Identity
from elastron.fleet.model import Node, NodeState
from tests.cli.live_gateway import Live, invoke, live_gateway
from tests.gateway.fake_gateway import FakeGateway, FakeSession


@pytest.fixture
def live(tmp_path: Path):
    with live_gateway(lambda: FakeGateway(tmp_path)) as live:
        gateway = live.gateway
        gateway.sessions["aaaa"] = FakeSession(
            "aaaa", images=3, bytes_in=12_000_000, seconds=6.0, attempt=2
        )
        gateway.sessions["bbbb"] = FakeSession("bbbb", state="queued", queue_position=1, node=None)
        waiting = {"session": "bbbb", "pool": "default", "position": 1, "priority": "inline"}
        gateway.placer.waiting = [waiting | {"tenant": "site-7", "waiting_s": 12.3}]
        yield live


def test_nodes_queue_and_scans_are_shown(live: Live):
    shown = invoke("status", "-g", live.url).stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert any("5 of 9 places taken, 1 scan waiting" in line for line in lines)
    assert any(line.startswith("a default ready 3/4") for line in lines)
    assert any(line.startswith("d default dead 0/1") and "no answer" in line for line in lines)
    assert "1 bbbb default.xml default inline site-7 12 s" in lines
    assert "aaaa default.xml running a 3 12 MB 2 MB/s 6.00 s attempt 2" in lines


def test_as_json(live: Live):
    told = json.loads(invoke("status", "-g", live.url, "--json").stdout)
    assert [node["id"] for node in told["nodes"]] == ["a", "b", "c", "d"]
    assert told["queue"][0]["position"] == 1
    assert {each["id"] for each in told["sessions"]} == {"aaaa", "bbbb"}
    assert told["pools"]["default"]["capacity"] == 9
    assert told["gateway"] == live.url


def test_an_empty_fleet_is_said(live: Live):
    live.gateway.registry.all, live.gateway.sessions = [], {}
    live.gateway.placer.waiting = []
    live.gateway.draining = True
    shown = invoke("status", "-g", live.url).stdout
    assert "no nodes" in shown
    assert "draining" in shown


def test_names_are_shown_as_they_are(live: Live):
    live.gateway.registry.all = [
        Node("[bold]x[/]", "127.0.0.1:1", pool="[red]", state=NodeState.READY)
    ]
    assert "[bold]x[/]" in invoke("status", "-g", live.url).stdout


def test_large_fleets_are_cut_short(live: Live):
    live.gateway.registry.all = [Node(f"n{i}", f"10.0.0.{i}:1") for i in range(80)]
    assert "and 30 more" in invoke("status", "-g", live.url).stdout


def test_no_gateway_there():
    assert "--admin" in invoke("status", "-g", "127.0.0.1:9", code=1).stderr


def test_the_default_gateway_is_this_machines(live: Live, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ELASTRON_CLIENT__GATEWAY", live.url)
    assert invoke("status").stdout
    monkeypatch.delenv("ELASTRON_CLIENT__GATEWAY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    from elastron.cli.gateway_admin import DEFAULT_URL, admin_url
    from elastron.cli.settings import ClientSettings

    assert admin_url(ClientSettings()) == DEFAULT_URL
    assert admin_url(ClientSettings(gateway="gateway:9080")) == "http://gateway:9080"


def test_a_fleet_of_this_machine_by_name(live: Live, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert "No fleet is up" in invoke("status", "--name", "other", code=1).stderr
    said = invoke("status", "--name", "other", "-g", live.url, code=2).stderr
    assert "names a gateway already" in said
    folder = StateFolder(tmp_path / "fleet")
    admin = live.url.removeprefix("http://")
    folder.write_record(Record("gateway", Role.GATEWAY, Identity.own(), 0, admin=admin))
    told = json.loads(invoke("status", "--state", str(tmp_path / "fleet"), "--json").stdout)
    assert told["gateway"] == live.url


def test_rates_are_of_the_time_between_two_looks():
    rates = Rates()
    session = {"id": "a", "bytes_in": 1000, "bytes_out": 0}
    assert rates.of([session], 10.0) == {}
    assert rates.of([session | {"bytes_in": 2000, "bytes_out": 500}], 12.0) == {"a": 750.0}
    assert rates.of([session | {"id": "b"}], 13.0) == {}


def test_watching_prints_a_line_each_second_until_it_is_ended(live: Live):
    words = ["status", "-g", live.url, "--watch", "--json"]
    command = [sys.executable, "-m", "elastron", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert [json.loads(line)["gateway"] for line in lines] == [live.url] * 2


def test_watching_outlives_a_gateway_that_goes_away(tmp_path: Path):
    with live_gateway(lambda: FakeGateway(tmp_path)) as live:
        command = [sys.executable, "-m", "elastron", "status", "-g", live.url, "--watch"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert any("9 places" in line for line in process.stdout)
    with process:
        assert any("Trying again" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0


def test_the_layout_fits_a_narrow_terminal():
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    session = FakeSession("aaaa").describe()
    node = {"id": "a", "pool": "default", "state": "ready", "running": 1, "capacity": 2}
    told = {"gateway": "http://x", "pools": {}, "nodes": [node], "queue": [], "sessions": [session]}
    console.print(tables(told))
    assert all(len(line) <= 80 for line in console.export_text().splitlines())
    console.file.close()
