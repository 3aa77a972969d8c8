"""Recorded bytes, wherever they are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class Recording(Protocol):
    """Bytes that were received or sent, in order; a `Journal` is one."""

    @property
    def content_bytes(self) -> int:
        """How many bytes `pieces` gives."""
        ...

    def pieces(self) -> AsyncIterator[memoryview]:
        """All bytes, from the first on; each piece is valid until the next is asked for."""
        ...

    def close(self) -> None:
        """Give memory and disk back; a second call does nothing."""
        ...
