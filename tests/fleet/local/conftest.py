from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastron.fleet.local.folder import StateFolder
from elastron.fleet.local.launch import ProgramLauncher

STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in.py")))


@pytest.fixture
def folder(tmp_path) -> Iterator[StateFolder]:
    """A state folder; whatever is on record there is killed at the end."""
    folder = StateFolder(tmp_path / "state")
    yield folder
    for record in folder.records():
        if record.identity.pid != os.getpid():
            record.identity.signal(signal.SIGKILL)


@pytest.fixture
def launcher(folder) -> Iterator[ProgramLauncher]:
    launcher = ProgramLauncher(folder, STAND_IN, os.environ)
    yield launcher
    while not all(launcher.lost(name) for name in folder.names()):
        for record in folder.records():  # those too that have only just begun
            record.identity.signal(signal.SIGKILL)
        time.sleep(0.01)
    launcher.close()
