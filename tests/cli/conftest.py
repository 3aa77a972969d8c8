from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from elastron.cli.app import app
from tests.fleet.local.harness import PATIENT

BRAIN = Path(__file__).parents[2] / "examples/brain_R2.h5"
#: For what a process of ours does in a second on a machine of its own.
PATIENCE_S = 120


@pytest.fixture(autouse=True)
def _nothing_from_outside(tmp_path, monkeypatch):
    """No settings of the machine, and files go nowhere but here."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("ELASTRON_"):
            monkeypatch.delenv(name)
    # Wide enough that no line is broken.
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def run():
    """Run a command in this process: `run("inspect", path).stdout`."""

    def invoke(*args: object, code: int = 0):
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return invoke


class RunningServer:
    """`elastron up` in a process of its own."""

    def __init__(self, *args: str) -> None:
        self._data = tempfile.TemporaryDirectory()
        self.state = Path(self._data.name) / "state"
        args = ("--data", self._data.name, "--state", str(self.state), *args)
        command = [sys.executable, "-m", "elastron", "up", "--json", *args]
        command += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        log = Path(self._data.name) / "up.log"
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=os.environ | PATIENT,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the server did not start: {log.read_text()}"
        self.ready = json.loads(line)
        self.address: str = self.ready["scans"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._data.cleanup()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    server = RunningServer("--capacity", "4")
    yield server
    server.stop()
