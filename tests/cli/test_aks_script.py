"""`scripts/deploy-aks.sh` keeps the original's command line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/deploy-aks.sh"


@pytest.fixture
def run(tmp_path):
    """Run the script with an `elastron` that tells what it was asked for."""
    told = tmp_path / "elastron"
    told.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    told.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def invoke(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), *args],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            check=False,
        )

    return invoke


@pytest.mark.parametrize(
    "args",
    [
        ("-n", "mr"),
        ("--name", "mr", "--location", "eastus"),
        ("-n", "mr", "-l", "eastus", "-s", "Standard_D4s_v5", "-u", "Standard_NC4as_T4_v3"),
        ("--system-vm-size", "A", "--user-vm-size", "B", "--name", "m r"),
        ("-n", "mr", "--plan", "--set", "pools.userpool.max=3"),
    ],
)
def test_options_are_handed_on(run, args):
    done = run(*args)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["aks", "up", *args, "--yes"]


def test_help(run):
    done = run("--help")
    assert done.returncode == 0
    for option in ("--name,-n", "--location,-l", "--system-vm-size,-s", "--user-vm-size,-u"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("args", "words"), [((), "You must provide a cluster name"), (("-n",), "needs a value")]
)
def test_what_is_missing(run, args, words):
    done = run(*args)
    assert done.returncode == 1
    assert words in done.stdout + done.stderr
