"""Writing down the scans of a running fleet, as a trace that `elastron simulate` reads."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import structlog

COLUMNS = ("arrival_s", "scan_s", "reconstruction_s", "pool")
_RETRY_S = 1.0
#: The gateway says something every 15 s; who is silent for so long is gone.
_SILENCE_S = 30.0


class TraceFile:
    """A CSV of scans, in the order in which they ended; a line is written when its scan ends.

    Args:
        path: written anew.
        started: when the run began (s since 1970).
    """

    def __init__(self, path: Path, started: float) -> None:
        self._path = path
        self._started = started
        since = datetime.fromtimestamp(started, UTC).isoformat()
        path.write_text(f"# start: {since}\n{','.join(COLUMNS)}\n")

    def add(self, session: Mapping[str, Any], ended: float) -> None:
        """Write a scan down.

        Args:
            session: as the gateway describes it at its end.
            ended: when that was (s since 1970).
        """
        line = trace_line(session, ended - self._started)
        if line is not None:
            self._write(line)

    def close(self, ended: float) -> None:
        """Write down how long the run was, for the time its nodes were idle after the last scan.

        Args:
            ended: when the run ended (s since 1970).
        """
        self._write(f"# duration_s: {ended - self._started:.3f}")

    def _write(self, line: str) -> None:
        with self._path.open("a") as file:
            file.write(line + "\n")


def trace_line(session: Mapping[str, Any], ended_s: float) -> str | None:
    """A scan as a line of the trace; None if it never sent its data or found no node.

    Args:
        session: as the gateway describes it at its end: `seconds` since its first byte,
            `received_s` of these until its data was there, `waited_s` of these for a node.
        ended_s: when it ended, since the run began.
    """
    seconds, received_s, waited_s = (
        session.get(key) for key in ("seconds", "received_s", "waited_s")
    )
    if session.get("outcome") != "ok" or seconds is None or received_s is None or waited_s is None:
        return None
    # While a scan waits for a node its data goes on arriving, and the reconstruction begins late.
    reconstruction_s = max(0.0, seconds - max(received_s, waited_s))
    pool = str(session.get("pool") or "default")
    return f"{max(0.0, ended_s - seconds):.3f},{received_s:.3f},{reconstruction_s:.3f},{pool}"


async def record_trace(admin: str, path: Path) -> None:
    """Write every scan that ends to `path`, until cancelled.

    Args:
        admin: URL of the gateway's admin server.
        path: the CSV.
    """
    trace = TraceFile(path, time.time())
    try:
        await _follow(f"{admin}/events", trace)
    finally:
        trace.close(time.time())


async def _follow(url: str, trace: TraceFile) -> None:
    log = structlog.get_logger()
    timeout = httpx.Timeout(_SILENCE_S)
    async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
        while True:
            try:
                async with client.stream("GET", url) as answer:
                    answer.raise_for_status()
                    async for kind, data in server_sent_events(answer.aiter_lines()):
                        if kind == "session" and "outcome" in data:
                            trace.add(data, time.time())
            except (httpx.HTTPError, ValueError) as error:
                log.warning("the trace misses scans", reason=str(error) or type(error).__name__)
            await asyncio.sleep(_RETRY_S)


async def server_sent_events(
    lines: AsyncIterator[str],
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Kind and data of each event of a stream.

    Raises:
        ValueError: data that is not JSON.
    """
    kind, data = "message", ""
    async for line in lines:
        name, _, value = line.partition(":")
        match name:
            case "event":
                kind = value.strip()
            case "data":
                data += value.strip()
            case "" if not line and data:
                content = json.loads(data)
                if isinstance(content, dict):
                    yield kind, content
                kind, data = "message", ""
            case _:
                pass
