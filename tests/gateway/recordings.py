"""Recorded bytes in memory, cut into pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator

from elastron.wire import encode
from elastron.wire.messages import Message


class MemoryRecording:
    """A `Recording` that knows whether it was closed."""

    def __init__(self, data: bytes, piece_bytes: int = 1000) -> None:
        self._data = data
        self._piece_bytes = piece_bytes
        self.closed = False

    @property
    def content_bytes(self) -> int:
        return len(self._data)

    async def pieces(self) -> AsyncIterator[memoryview]:
        for at in range(0, len(self._data), self._piece_bytes):
            assert not self.closed
            yield memoryview(self._data)[at : at + self._piece_bytes]

    def close(self) -> None:
        self.closed = True


def wire_bytes(*messages: Message) -> bytes:
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))
