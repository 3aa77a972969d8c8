"""Events as server-sent events (the WHATWG HTML standard's `text/event-stream`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from elastron.gateway.events import Subscription

#: Silence after which a comment is sent, so that proxies keep the connection and a dead one is
#: noticed; they commonly close after 30 to 60 s.
HEARTBEAT_S = 15.0
#: How often figures of running sessions are told.
PROGRESS_S = 1.0

#: Figures of a session that change without an event.
_FIGURES = ("bytes_in", "bytes_out", "images", "queue_position")

Sessions = Callable[[], list[dict[str, Any]]]


async def event_stream(
    subscription: Subscription,
    snapshot: Callable[[], dict[str, Any]],
    sessions: Sessions,
    *,
    heartbeat_s: float = HEARTBEAT_S,
    progress_s: float = PROGRESS_S,
) -> AsyncIterator[bytes]:
    """What a listener gets: how things are, then every change, as it comes.

    Args:
        subscription: ended here.
        snapshot: how things are now.
        sessions: descriptions of the running sessions; each that has moved is told every
            `progress_s`.
        heartbeat_s: of silence until a comment.
        progress_s: between two looks at the sessions.
    """
    loop = asyncio.get_running_loop()
    with subscription:
        figures = _figures(sessions())
        # No await between subscribing and here: nothing is missed, nothing told twice.
        yield _event("snapshot", snapshot(), subscription.begun_at)
        look_at, silent_since = loop.time() + progress_s, loop.time()
        while True:
            timeout_s = min(look_at, silent_since + heartbeat_s) - loop.time()
            try:
                async with asyncio.timeout(max(0.0, timeout_s)):
                    event = await subscription.next()
            except TimeoutError:
                pass
            else:
                if event is None:
                    return
                yield _event(event.kind, event.data, event.number)
                silent_since = loop.time()
            if loop.time() >= look_at:
                before, figures = figures, _figures(sessions())
                moved = [
                    {"id": session, **values}
                    for session, values in figures.items()
                    if before.get(session) != values
                ]
                if moved:
                    yield _event("progress", {"sessions": moved})
                    silent_since = loop.time()
                look_at = loop.time() + progress_s
            if loop.time() >= silent_since + heartbeat_s:
                yield b": still here\n\n"
                silent_since = loop.time()


def _figures(sessions: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        session["id"]: {name: session[name] for name in _FIGURES if name in session}
        for session in sessions
    }


def _event(kind: str, data: Any, number: int | None = None) -> bytes:
    # JSON has no line breaks unless it is indented, so one data line holds it.
    lines = [f"event: {kind}", f"data: {json.dumps(data, separators=(',', ':'))}"]
    if number is not None:
        lines.insert(0, f"id: {number}")
    return ("\n".join(lines) + "\n\n").encode()
