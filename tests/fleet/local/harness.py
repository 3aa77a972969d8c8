"""A whole fleet: `elastron up` in a process of its own, and clients that keep it busy."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from elastron.fleet.local.folder import Record, Role, StateFolder
from elastron.wire.messages import Close, HeaderXml, Text
from tests import patience
from tests.node import harness as node_harness
from tests.node.harness import HEADER, Peer, install_gadgets, scan, stream_config

PATIENCE_S = 120

#: As by default, but for times that a test can wait for.
FLEET_YAML = """
pools: {{default: {{min: {min}, max: {max}, capacity: 1}}}}
poll_s: 0.25
scaling:
  buffer: 0
  idle_to_zero_s: 2
  scale_down: {{stabilisation_window_s: 2}}
"""

#: No answer of a node is too late, however busy the machine is with others.
PATIENT = {
    "ELASTRON_GATEWAY__CONNECT_TIMEOUT_S": str(PATIENCE_S),
    "ELASTRON_GATEWAY__REGISTRY__POLL_TIMEOUT_S": str(PATIENCE_S),
}


def wait_for(found: Callable[[], Any], *, what: str, timeout_s: float = PATIENCE_S) -> Any:
    """What `found()` gives, once it is true."""
    return patience.wait_for(found, what=what, timeout_s=timeout_s)


class Fleet:
    """`elastron up`, its state in a folder that outlives it."""

    def __init__(
        self,
        path: Path,
        *options: str,
        fleet: str = FLEET_YAML.format(min=1, max=6),
        storage: bool = False,
        patient: bool = False,
    ) -> None:
        path.mkdir(parents=True, exist_ok=True)
        (path / "fleet.yaml").write_text(fleet)
        self.path = path
        self.log = path / "up.log"
        self._command = [
            *(sys.executable, "-m", "elastron", "up", "--json"),
            *(() if storage else ("--storage", "none")),
            *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
            *("--state", str(path / "state"), "-f", str(path / "fleet.yaml"), *options),
        ]
        plugins = install_gadgets(path)
        code = Path(node_harness.__file__).parent
        self._environment = os.environ | {"PYTHONPATH": f"{plugins}:{code}"}
        if patient:
            self._environment |= PATIENT
        self.up()

    def up(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
                cwd=self.path,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.process.stdout.close()
        assert line, self.log.read_text()
        self.ready = json.loads(line)
        self.port = int(self.ready["scans"].rpartition(":")[2])
        self.admin: str = self.ready["admin"]

    def kill_up(self) -> None:
        """What no process can prepare for."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = PATIENCE_S) -> int:
        """Its exit status after a signal."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)

    @property
    def folder(self) -> StateFolder:
        return StateFolder(self.path / "state")

    def running(self, role: Role | None = None) -> dict[str, Record]:
        """Processes that run now."""
        records = (each for each in self.folder.records() if each.alive)
        return {each.name: each for each in records if role in (None, each.role)}

    def get(self, path: str) -> Any:
        return httpx.get(self.admin + path, timeout=60, trust_env=False).json()

    def nodes(self, *states: str) -> list[str]:
        """Nodes that the gateway knows, in these states."""
        nodes = self.get("/fleet")["nodes"]
        return [node["id"] for node in nodes if node["state"] in (states or ("ready", "busy"))]

    def metric(self, name: str) -> float:
        """Sum of a metric of the gateway over its labels."""
        text = httpx.get(f"{self.admin}/metrics", timeout=60, trust_env=False).text
        found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert found, f"there is no metric {name}"
        return sum(map(float, found))

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Log lines of an event."""
        whole = self.log.read_text().rpartition("\n")[0]  # one may still be being written
        lines = [json.loads(line) for line in whole.splitlines() if line[:1] == "{"]
        return [line for line in lines if line.get("event") == event]

    def clean_up(self) -> None:
        """End whatever still runs, so that a failed test leaves nothing."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for record in self.running().values():
            record.identity.signal(signal.SIGKILL)


class Scan(threading.Thread):
    """A client with a scan that keeps a node busy; its last readouts come after `hold`.

    Args:
        port: of the fleet.
        batches: of readouts.
        pause_s: between two of them.
        held: `hold` is to be set by the test.
    """

    def __init__(
        self, port: int, *, batches: int = 4, pause_s: float = 0.1, held: bool = False
    ) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.batches = batches
        self.pause_s = pause_s
        self.hold = threading.Event()
        if not held:
            self.hold.set()
        self.error: Exception | None = None
        self.words = ""
        self.closed = False

    def run(self) -> None:
        try:
            with Peer(self.port) as peer:
                peer.socket.settimeout(PATIENCE_S)
                config = stream_config(f"SlowGadget:seconds={self.pause_s}")
                peer.send(config, HeaderXml(HEADER))
                for number in range(self.batches):
                    if number == self.batches - 1:
                        self.hold.wait(PATIENCE_S)
                    peer.send(scan(first=number))
                    time.sleep(self.pause_s)
                answer = peer.send(Close()).receive()
            self.words = "\n".join(each.text for each in answer if isinstance(each, Text))
            self.closed = isinstance(answer[-1], Close)
        except Exception as error:
            self.error = error

    def check(self) -> None:
        """All of it was reconstructed, once, in order."""
        self.join(PATIENCE_S)
        assert not self.is_alive(), "the scan never ended"
        assert self.error is None, repr(self.error)
        assert self.closed
        count = node_harness.LINES * self.batches
        assert self.words == f"readouts {count}, in order True"


def burst(port: int, count: int, **options: Any) -> list[Scan]:
    """So many scans at once."""
    scans = [Scan(port, **options) for _ in range(count)]
    for each in scans:
        each.start()
    return scans


@contextlib.contextmanager
def running_fleet(path: Path, *options: str, **settings: Any) -> Iterator[Fleet]:
    fleet = Fleet(path, *options, **settings)
    try:
        yield fleet
    finally:
        fleet.clean_up()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True
