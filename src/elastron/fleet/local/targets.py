"""What Prometheus is to scrape, in the form of its `file_sd_configs`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from elastron.fleet.local.folder import Record, Role, StateFolder

_LOOK_S = 1.0
#: Of processes that have an admin server of their own.
_JOBS = {Role.UP: "autoscaler", Role.GATEWAY: "gateway", Role.NODE: "node"}


def scrape_targets(records: Iterable[Record]) -> list[dict[str, Any]]:
    """One target a process: `job` says what it is, `process` which."""
    targets: list[dict[str, Any]] = []
    for record in records:
        if record.role is Role.STORAGE:
            address = (record.address or "").removeprefix("http://")
            job = "storage"
        else:
            address, job = record.admin or "", _JOBS.get(record.role, "")
        if address and job and record.alive:
            labels = {"job": job, "process": record.name}
            targets.append({"targets": [address], "labels": labels})
    return targets


async def keep_targets(folder: StateFolder) -> None:
    """Write `prometheus.json` whenever processes come or go, until cancelled; then remove it."""
    path = folder.path / "prometheus.json"
    written: list[dict[str, Any]] | None = None
    try:
        while True:
            targets = scrape_targets(folder.records())
            if targets != written:
                folder.write(path, targets)
                written = targets
            await asyncio.sleep(_LOOK_S)
    finally:
        path.unlink(missing_ok=True)
