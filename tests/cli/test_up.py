"""`elastron up` and `elastron node`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from elastron.cli import serving
from elastron.fleet.local.folder import Role, StateFolder
from tests.cli.conftest import PATIENCE_S, RunningServer
from tests.patience import wait_for
from tests.ports import free_port


def test_up_says_where_it_is(server):
    assert server.ready["ready"] is True
    assert server.ready["scans"].startswith("127.0.0.1:")
    assert httpx.get(f"{server.ready['admin']}/readyz", timeout=PATIENCE_S).status_code == 200


def test_up_brings_a_storage_server_and_takes_it_along():
    server = RunningServer("--capacity", "1")
    storage = server.ready["storage"]
    assert httpx.get(f"{storage}/healthcheck", timeout=PATIENCE_S).is_success
    assert server.stop() == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{storage}/healthcheck", timeout=PATIENCE_S)


def test_nothing_outlives_a_killed_up_for_longer_than_its_lease():
    server = RunningServer("--capacity", "1", "--lease", "0.5")
    alive = [each for each in StateFolder(server.state).records() if each.name != "up"]
    assert {each.role.value for each in alive} == {"gateway", "node", "storage"}
    server.process.kill()
    wait_for(
        lambda: not any(each.alive for each in alive), what="the end of all", timeout_s=PATIENCE_S
    )
    server.stop()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.ready['storage']}/healthcheck", timeout=PATIENCE_S)


def test_up_says_what_the_fleet_is(server):
    assert server.ready["gateway"]["scans"] == server.ready["scans"]
    assert server.ready["gateway"]["admin"] == server.ready["admin"]
    fleet = server.ready["fleet"]
    assert fleet["state"] == str(server.state)
    assert fleet["pools"]["default"]["min"] == 1
    assert fleet["pools"]["default"]["capacity"] == 4
    status = httpx.get(f"{fleet['autoscaler']}/status", timeout=PATIENCE_S).json()
    assert status["pools"]["default"]["desired"] >= 1


def test_nodes_and_storage_listen_on_loopback_only(server):
    for record in StateFolder(server.state).records():
        for address in (record.address, record.admin):
            assert address is None or "127.0.0.1:" in address


def test_a_fleet_is_up_once(server, run):
    result = run("up", "--state", server.state, "--json", code=1)
    assert "is up already (process" in result.stderr
    assert "--name" in result.stderr


def test_a_gateway_port_that_is_taken_is_one_clear_line(server, tmp_path):
    command = [sys.executable, "-m", "elastron", "up", "--listen", server.address]
    command += ["--admin", "127.0.0.1:0", "--state", str(tmp_path / "s"), "--storage", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert server.address in line
    assert not any(each.alive for each in StateFolder(tmp_path / "s").records())


def test_commands_for_a_running_fleet(run):
    server = RunningServer("--capacity", "1", "--max", "3", "--storage", "none")
    where = ("--state", server.state)
    folder = StateFolder(server.state)

    def nodes() -> set[str]:
        return {each.name for each in folder.records() if each.role is Role.NODE and each.alive}

    try:
        (first,) = nodes()
        assert "pool default: 3 nodes" in run("scale", 3, *where).stdout
        assert len(nodes()) == 3
        assert f"{first} has left" in run("drain", first, *where).stdout
        wait_for(lambda: len(nodes()) == 3, what="its successor", timeout_s=PATIENCE_S)
        assert first not in nodes()
        assert "There is no node" in run("drain", first, *where, code=1).stderr
        assert "node is ready" in run("logs", first, *where).stdout
        assert {first, "gateway"} <= set(run("logs", *where).stdout.split())
        assert "no log" in run("logs", "../x", *where, code=1).stderr
        assert "a number" in run("scale", "many", *where, code=2).stderr
        assert "default" in run("scale", "1", "--pool", "gpu", *where, code=2).stderr
        assert "as the demand says" in run("scale", "auto", *where).stdout
        assert "is down" in run("down", *where).stdout
        assert server.process.wait(PATIENCE_S) == 0
        assert nodes() == set()
        assert "No fleet is up" in run("down", *where, code=1).stderr
        assert "node is ready" in run("logs", first, *where).stdout  # it stays
    finally:
        server.stop()


def test_down_ends_what_a_killed_up_has_left(run):
    server = RunningServer("--capacity", "1")
    server.process.kill()
    server.process.wait()
    folder = StateFolder(server.state)
    assert "is down" in run("down", "--state", server.state).stdout
    assert not any(each.alive for each in folder.records())
    assert list((server.state / "processes").iterdir()) == []
    server.stop()


def test_up_without_storage():
    server = RunningServer("--capacity", "1", "--storage", "none")
    assert server.ready["storage"] is None
    server.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_stops_cleanly(number):
    server = RunningServer("--capacity", "1")
    assert server.stop(number) == 0


def test_a_port_that_is_taken_is_one_clear_line(server):
    command = [sys.executable, "-m", "elastron", "node", "--listen", server.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert server.address in line


def test_the_node_reads_its_settings(tmp_path):
    (tmp_path / "elastron.toml").write_text('[node]\nadmin = "127.0.0.1:0"\nlog_format = "json"\n')
    env = os.environ | {"ELASTRON_NODE__CAPACITY": "3"}
    command = [sys.executable, "-m", "elastron", "node", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env, start_new_session=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("event") == "node is ready":
                break
        assert entry["capacity"] == 3
        assert not entry["admin"].endswith(":0")
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def test_misspelt_settings_are_refused(run, monkeypatch):
    monkeypatch.setenv("ELASTRON_NODE__CAPCITY", "3")
    result = run("node", code=1)
    assert "there is no setting 'capcity'; did you mean 'capacity'?" in result.stderr


def test_a_storage_port_that_is_taken_is_passed_over():
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        assert port < serving._free_port(port) <= port + serving._STORAGE_PORTS
