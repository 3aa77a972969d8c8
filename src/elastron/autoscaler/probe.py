"""Asking nodes and gateways how they are, over their admin pages."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx

from elastron.fleet.kubernetes.upkeep import Load

_AT_ONCE_MAX = 64
#: States of a session that takes no place any more.
_ENDED = {"FINISHED", "LINGER"}


class Probe:
    """Asks many at once.

    Args:
        port: of their admin pages.
        timeout_s: for an answer.
    """

    def __init__(self, port: int, timeout_s: float) -> None:
        self._port = port
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False)
        self._places = asyncio.Semaphore(_AT_ONCE_MAX)

    async def load(self, host: str) -> Load | None:
        """What a node does now; None: it does not tell."""
        answer = await self._get(host, "/sessions")
        try:
            running = [s for s in answer["sessions"] if s.get("state") not in _ENDED]
            return Load(len(running), max((float(s["seconds"]) for s in running), default=0.0))
        except (TypeError, KeyError, ValueError):
            return None

    async def queued(self, hosts: Sequence[str]) -> Counter[str] | None:
        """Waiting scans by pool, of all gateways; None: one of them does not tell."""
        waiting: Counter[str] = Counter()
        for answer in await asyncio.gather(*(self._get(host, "/queue") for host in hosts)):
            try:
                waiting.update(entry["pool"] for entry in answer["queue"])
            except (TypeError, KeyError):
                return None
        return waiting

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def _get(self, host: str, path: str) -> Any:
        host = f"[{host}]" if ":" in host else host
        async with self._places:
            try:
                answer = await self._client.get(f"http://{host}:{self._port}{path}")
                return answer.json() if answer.is_success else None
            except (httpx.HTTPError, ValueError):
                return None
