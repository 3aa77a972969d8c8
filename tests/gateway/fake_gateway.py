"""A gateway without a data plane: what the admin server asks of one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from elastron.fleet.model import Node, NodeState
from elastron.gateway.admin import make_app
from elastron.gateway.archive import Archive, ArchiveSettings
from elastron.gateway.events import Events
from elastron.gateway.metrics import Metrics, Readings
from elastron.gateway.results import Results, ResultsSettings
from elastron.service.address import Address
from elastron.service.http import http_server

NODES = [
    Node("a", "127.0.0.1:41001", state=NodeState.READY, capacity=4, running=3),
    Node("b", "127.0.0.1:41002", state=NodeState.READY, capacity=4, running=1),
    Node("c", "127.0.0.1:41003", state=NodeState.BUSY, capacity=1, running=1),
    Node("d", "127.0.0.1:41004", state=NodeState.DEAD, capacity=1),
]


class FakeSession:
    def __init__(self, session_id: str, **figures: Any) -> None:
        self.figures = {
            "id": session_id,
            "state": "running",
            "pool": "default",
            "node": "a",
            "attempt": 1,
            "peer": "127.0.0.1:50000",
            "tenant": "",
            "config": "default.xml",
            "bytes_in": 0,
            "bytes_out": 0,
            "images": 0,
            "seconds": 1.0,
            "queue_position": None,
            **figures,
        }
        self.cancelled: str | None = None

    def describe(self) -> dict[str, Any]:
        return dict(self.figures)

    def cancel(self, reason: str) -> None:
        self.cancelled = reason


class FakeRegistry:
    def __init__(self) -> None:
        self.all = list(NODES)

    def nodes(self) -> list[Node]:
        return self.all

    def describe(self) -> list[dict[str, Any]]:
        return [
            {
                "id": node.id,
                "address": node.address,
                "admin": node.admin,
                "pool": node.pool,
                "state": node.state.value,
                "capacity": node.capacity,
                "running": node.running,
                "capabilities": [],
                "memory_bytes": None,
                "error": "no answer" if node.state is NodeState.DEAD else None,
            }
            for node in self.all
        ]


class FakePlacer:
    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []

    def queue(self) -> list[dict[str, Any]]:
        return self.waiting

    def pools(self) -> dict[str, dict[str, int]]:
        return {"default": {"running": 5, "queued": len(self.waiting), "capacity": 9}}


class FakeGateway:
    def __init__(self, folder: Path, *, archive: str = "off") -> None:
        self.draining = False
        self.sessions: dict[str, FakeSession] = {}
        self.registry = FakeRegistry()
        self.placer = FakePlacer()
        self.events = Events()
        self.metrics = Metrics(Readings)
        self.results = Results(ResultsSettings())
        settings = {"keep": archive, "folder": folder / "archive", "free_bytes_min": 0}
        self.archive = Archive(ArchiveSettings.model_validate(settings))

    def unready_reason(self) -> str | None:
        return "draining" if self.draining else None

    async def drain(self) -> int:
        self.draining = True
        return len(self.sessions)


@contextlib.asynccontextmanager
async def served(gateway: FakeGateway, **options: float) -> AsyncIterator[httpx.AsyncClient]:
    """Its admin server on a free port, and a client of it."""
    app = make_app(gateway)  # type: ignore[arg-type]
    async with http_server(app, Address("127.0.0.1", 0), **options) as address:
        base = f"http://{address}"
        async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as client:
            yield client
            gateway.events.close()
