"""`make demo`, without making the environment."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Picture

from elastron.client.groups import file_contents

DEMO = Path(__file__).parents[2] / "examples/demo.py"


def test_the_demo_shows_images_and_leaves_no_server(tmp_path):
    done = subprocess.run(
        [sys.executable, DEMO, tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert file_contents(tmp_path / "out/images.h5").images == ("brain", "phantom")
    assert Picture.open(tmp_path / "out/montage.png").width > 256
    assert len(list((tmp_path / "out/pictures").rglob("*.png"))) == 6
    assert str(tmp_path / "out/montage.png") in done.stdout
    port = re.search(r"takes scans at 127\.0\.0\.1:(\d+)", done.stdout)
    assert port is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port[1])), timeout=60)
