"""`elastron up` and `elastron node`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from tests.cli.conftest import RunningServer


def test_up_says_where_it_is(server):
    assert server.ready["ready"] is True
    assert server.ready["scans"].startswith("127.0.0.1:")
    assert httpx.get(f"{server.ready['admin']}/readyz", timeout=10).status_code == 200


def test_up_brings_a_storage_server_and_takes_it_along():
    server = RunningServer("--capacity", "1")
    storage = server.ready["storage"]
    assert httpx.get(f"{storage}/healthcheck", timeout=10).is_success
    assert server.stop() == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{storage}/healthcheck", timeout=10)


def test_the_storage_server_does_not_outlive_a_killed_up():
    server = RunningServer("--capacity", "1")
    server.stop(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{server.ready['storage']}/healthcheck", timeout=10)
        except httpx.TransportError:
            return
        time.sleep(0.1)
    pytest.fail("the storage server is still there")


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
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
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
        process.communicate(timeout=20)


def test_misspelt_settings_are_refused(run, monkeypatch):
    monkeypatch.setenv("ELASTRON_NODE__CAPCITY", "3")
    result = run("node", code=1)
    assert "there is no setting 'capcity'; did you mean 'capacity'?" in result.stderr
