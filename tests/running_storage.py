"""A storage server in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.patience import Patience
from tests.ports import free_port

WAIT_S = 120.0


@contextlib.contextmanager
def storage_server(folder: Path) -> Iterator[str]:
    """The URL of a server that keeps everything in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "elastron", "storage", "--listen", address]
    kept = ["--database", str(folder / "metadata.db"), "--blobs", str(folder / "blobs")]
    process = subprocess.Popen([*command, *kept, "--log-level", "warn"])
    try:
        patience = Patience(WAIT_S)
        while True:
            assert process.poll() is None, "the storage server did not start"
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://{address}/healthcheck", trust_env=False).is_success:
                    break
            assert patience.lasts()
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(WAIT_S)
