"""Nodes behind cutting proxies, and a gateway before them, each a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from elastron.gateway.settings import GatewaySettings
from tests.node.harness import NodeProcess, wait_for, whole_lines

from .proxy import CuttingProxy


class ChaosNode:
    """A node that can be hurt, and comes back.

    Attributes:
        name: as the gateway calls it.
        scans: proxy before its port for scans.
        admin: proxy before its admin server.
        process: None while it is down.
        busy: something is being done to it.
    """

    def __init__(self, folder: Path, number: int, capacity: int) -> None:
        self.scans, self.admin = CuttingProxy(), CuttingProxy()
        self.name = f"127.0.0.1:{self.scans.port}"
        self.process: NodeProcess | None = None
        self.busy = False
        self._folder = folder / f"node-{number}"
        self._capacity = capacity
        self._starts = 0

    @property
    def listed(self) -> str:
        """As in `--nodes`."""
        return f"127.0.0.1:{self.scans.port}/{self.admin.port}"

    async def start(self) -> None:
        self._starts += 1
        folder = self._folder / str(self._starts)
        folder.mkdir(parents=True)
        settings = {"capacity": self._capacity, "linger_timeout_s": 2, "cancel_grace_s": 1}
        self.process = process = await asyncio.to_thread(NodeProcess, folder, **settings)
        self.admin.open(int(process.admin.rpartition(":")[2]))
        self.scans.open(process.port)

    def refuse(self) -> None:
        """As a dead process: no connection is taken."""
        self.scans.refuse()
        self.admin.refuse()

    async def kill(self) -> None:
        """SIGKILL; its workers see it and end."""
        process = self._running()
        process.process.kill()
        await asyncio.to_thread(process.process.wait)
        self.process = None
        self.refuse()

    async def drain(self) -> int:
        """SIGTERM, and wait until it is gone; its exit status."""
        process = self._running()
        process.process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(process.process.wait)
        self.process = None
        self.refuse()
        return status

    async def pause(self, seconds: float) -> None:
        """SIGSTOP to all its processes for a while."""
        process = self._running()
        stopped = _tree(process.process.pid)
        for each in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()
        try:
            await asyncio.sleep(seconds)
        finally:
            for each in stopped:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.resume()

    def kill_worker(self) -> bool:
        """SIGKILL to a process at work on a scan; False if there is none."""
        process = self._running()
        sessions = process.sessions()
        pids = [each["pid"] for each in sessions if each["pid"] and each["state"] == "STREAM"]
        for pid in pids[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    async def close(self) -> None:
        await self.scans.close()
        await self.admin.close()
        if self.process is not None:
            process = self.process
            for each in reversed(_tree(process.process.pid)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            await asyncio.to_thread(process.process.wait)

    def _running(self) -> NodeProcess:
        if self.process is None:
            raise AssertionError(f"{self.name} is down")
        return self.process


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class GatewayProcess:
    """`run_gateway` in a child process, its log in a file."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.log_path = folder / "gateway.log"
        self.settings = GatewaySettings.model_validate(
            {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "log_format": "json"} | settings
        )
        code = (
            "import sys; from elastron.gateway import GatewaySettings, run_gateway;"
            "run_gateway(GatewaySettings.model_validate_json(sys.argv[1]))"
        )
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, self.settings.model_dump_json()], stderr=log
            )
        ready = self.wait_for_log("gateway is ready", timeout_s=120)
        self.port = int(ready["listen"].rpartition(":")[2])
        self.admin = f"http://{ready['admin']}"

    def log(self) -> list[dict[str, Any]]:
        return whole_lines(self.log_path)

    def wait_for_log(self, pattern: str, *, timeout_s: float = 60) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended: {self.log_path.read_text()[-4000:]}")
            return next((line for line in self.log() if re.search(pattern, json.dumps(line))), None)

        return wait_for(found, what=f"{pattern!r} in the gateway's log", timeout_s=timeout_s)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.admin + path, timeout=60, trust_env=False)

    def metrics(self, name: str) -> dict[str, float]:
        """A counter's values, by the value of its only label ("" without)."""
        found = re.findall(
            rf'^{re.escape(name)}(?:{{[a-z_]+="([^"]*)"}})? (\S+)$',
            self.get("/metrics").text,
            re.MULTILINE,
        )
        return {label: float(value) for label, value in found}

    def memory_bytes(self) -> int:
        """What it holds now."""
        return psutil.Process(self.process.pid).memory_info().rss

    def stop(self) -> int:
        """Twice SIGTERM: at once."""
        for timeout_s in (0.5, 30):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.send_signal(signal.SIGTERM)
                return self.process.wait(timeout=timeout_s)
        self.process.kill()
        return self.process.wait()


class ChaosFleet:
    """Nodes and a gateway.

    Attributes:
        nodes: all of them, down or not.
        gateway: before them.
    """

    def __init__(self, nodes: list[ChaosNode], gateway: GatewayProcess) -> None:
        self.nodes = nodes
        self.gateway = gateway


@contextlib.asynccontextmanager
async def running_fleet(
    folder: Path, *, nodes: int, capacity: int = 2, **gateway: Any
) -> AsyncIterator[ChaosFleet]:
    """A fleet that is ready; little patience, so that faults are noticed within seconds."""
    members = [ChaosNode(folder, number, capacity) for number in range(1, nodes + 1)]
    process: GatewayProcess | None = None
    try:
        await asyncio.gather(*(member.start() for member in members))
        settings: dict[str, Any] = {
            "registry": {
                "nodes": [member.listed for member in members],
                "poll_interval_s": 0.3,
                "poll_timeout_s": 1,
                "avoid_s": 1,
                "back_off_s_max": 1,
            },
        }
        process = await asyncio.to_thread(GatewayProcess, folder, **(settings | gateway))
        yield ChaosFleet(members, process)
    finally:
        if process is not None:
            await asyncio.to_thread(process.stop)
        await asyncio.gather(*(member.close() for member in members))
