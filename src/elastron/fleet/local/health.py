"""Asking nodes whether they are well, over their admin servers."""

from __future__ import annotations

from typing import Self

import httpx

#: An answer takes a millisecond; on a machine at its limits, seconds.
_ANSWER_S = 5.0


class Health:
    """A client for admin servers on this machine."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False)

    async def well(self, admin: str) -> bool:
        """Whether the process behind admin server HOST:PORT answers."""
        try:
            return (await self._client.get(f"http://{admin}/healthz")).is_success
        except httpx.HTTPError:
            return False

    async def running(self, admin: str) -> int | None:
        """Scans that run there; None when it does not say."""
        try:
            answer = await self._client.get(f"http://{admin}/sessions")
            return len(answer.raise_for_status().json()["sessions"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()
