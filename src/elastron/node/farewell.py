"""Last words to a client, and ending a connection so that they arrive."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from elastron.errors import ElastronError, ReconstructionError
from elastron.node.settings import NodeSettings
from elastron.wire import encode
from elastron.wire.faults import LOCATION
from elastron.wire.messages import Close, Text

_DISCARD_BYTES = 64 * 1024


def error_text(text: str, location: str = LOCATION) -> Text:
    """An error as a Gadgetron client knows it."""
    return Text(f"[{location}] ERROR: {text}")


def failure_text(location: str, error: Exception) -> Text:
    """What a session tells its client of an error that ended it.

    Args:
        location: where it was raised; errors of gadgets say it themselves.
        error: what was raised.
    """
    text = str(error)
    if isinstance(error, ReconstructionError) and text.startswith("["):
        return Text(text)
    if not isinstance(error, ElastronError):
        text = f"{type(error).__name__}: {text} (an error of the node's own; its log has more)"
    return error_text(text, location)


async def readable(sock: socket.socket, waiting: set[asyncio.Future[None]] | None = None) -> None:
    """Return when there is something to read, or the stream has ended.

    Args:
        sock: non-blocking.
        waiting: the wait is put here, for whoever wants to end it early.
    """
    loop = asyncio.get_running_loop()
    came: asyncio.Future[None] = loop.create_future()
    waiting = set() if waiting is None else waiting
    waiting.add(came)
    loop.add_reader(sock.fileno(), lambda: came.done() or came.set_result(None))
    try:
        await came
    finally:
        waiting.discard(came)
        loop.remove_reader(sock.fileno())


async def refuse(sock: socket.socket, text: str | None, settings: NodeSettings) -> None:
    """Send an error and CLOSE, then let the client finish.

    What it still sends is thrown away for a while: closing at once would reset the connection, and
    the reset can overtake the text.

    Args:
        sock: non-blocking.
        text: None: say nothing (a message is half sent).
    """
    if text is not None:
        with contextlib.suppress(OSError):  # the client is gone, or its buffer is full
            sock.sendmsg([*encode(error_text(text)), *encode(Close())])
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    if text is not None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(settings.linger_timeout_s):
                await _discard(sock, settings.linger_bytes_max)
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


async def _discard(sock: socket.socket, bytes_max: int) -> None:
    discarded = 0
    while discarded < bytes_max:
        await readable(sock)
        with contextlib.suppress(BlockingIOError):
            data = sock.recv(_DISCARD_BYTES)
            if not data:
                return
            discarded += len(data)
