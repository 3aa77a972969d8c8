"""Recorded bytes in memory, cut into pieces."""

from __future__ import annotations

from elastron.wire import encode
from elastron.wire.messages import Message


class MemoryRecording:
    """A `Recording` that knows whether it was closed."""

    def __init__(self, data: bytes, piece_bytes: int = 1000) -> None:
        self._data = data
        self._piece_bytes = piece_bytes
        self.closed = False

    @property
    def size(self) -> int:
        return len(self._data)

    async def read(self, at: int) -> memoryview:
        assert not self.closed
        assert at < self.size
        return memoryview(self._data)[at : at + self._piece_bytes]

    def close(self) -> None:
        self.closed = True


def wire_bytes(*messages: Message) -> bytes:
    return b"".join(bytes(buffer) for message in messages for buffer in encode(message))
