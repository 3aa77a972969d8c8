"""Recorded bytes, wherever they are kept."""

from __future__ import annotations

from typing import Protocol


class Recording(Protocol):
    """Bytes that were received or sent, in order; a `Journal` is one."""

    @property
    def size(self) -> int:
        """Bytes recorded so far."""
        ...

    async def read(self, at: int) -> memoryview:
        """The next piece from offset `at`, below `size`; at least one byte.

        Valid until the recording is closed or the next `read`.
        """
        ...

    def close(self) -> None:
        """Give memory and disk back; a second call does nothing."""
        ...
