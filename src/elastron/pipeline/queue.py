"""The queue between the thread that reads a connection and the chain that works.

Bounded in bytes: when the chain is slower than the sender, `put` waits, the reader stops reading,
and TCP slows the sender down; memory stays where it is.

Three endings, and none loses the difference between them: `close` (the sender finished), `fail`
(the connection broke: what came is still worked on, then the error is raised), `abort` (nobody
wants the result any more: both sides wake at once).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from elastron.errors import ConnectionLostError, DeadlineError
from elastron.gadgets.base import Item

#: Bytes that may wait by default: enough to keep a chain busy over a network hiccup, small against
#: a worker's memory.
DEFAULT_MAX_BYTES = 64 << 20

#: What an item of no known size (text, queries) counts.
_SMALL = 1024


def item_bytes(item: Any) -> int:
    """Bytes of an item's arrays, about; at least 1."""
    if (nbytes := getattr(item, "nbytes", None)) is not None:
        return max(int(nbytes), 1)
    if isinstance(item, (list, tuple)):
        return sum(map(item_bytes, item)) + _SMALL
    names = getattr(item, "__dataclass_fields__", ())
    parts = [getattr(item, name) for name in names]
    sized = [part for part in parts if hasattr(part, "nbytes") or isinstance(part, list)]
    nested = [part for part in parts if hasattr(part, "__dataclass_fields__")]
    return sum(map(item_bytes, sized)) + sum(map(item_bytes, nested)) + _SMALL


class ItemQueue:
    """A first-in first-out queue of items, bounded in bytes; one reader, one writer thread.

    Args:
        max_bytes: most bytes that wait. One larger item is taken when the queue is empty.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if max_bytes < 1:
            raise ValueError("max_bytes must be at least 1.")
        self.max_bytes = max_bytes
        self._items: deque[tuple[Item, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._error: BaseException | None = None
        self._aborted: BaseException | None = None
        self._changed = threading.Condition()

    @property
    def nbytes(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item, timeout: float | None = None) -> bool:
        """Append an item; wait while the queue is full.

        Args:
            item: what to append.
            timeout: longest wait in seconds; None waits as long as it takes.

        Returns:
            True; False if the queue was aborted, and the item not taken: the reader can stop.

        Raises:
            DeadlineError: still full after `timeout`.
            RuntimeError: the queue was closed; a bug of the caller.
        """
        size = item_bytes(item)
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            if self._closed and self._aborted is None:
                raise RuntimeError("put after close")
            while self._aborted is None and self._bytes and self._bytes + size > self.max_bytes:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise DeadlineError(
                        f"The reconstruction took no data for {timeout:g} s while "
                        f"{self._bytes} bytes wait."
                    )
                self._changed.wait(left)
            if self._aborted is not None:
                return False
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify_all()
        return True

    def close(self) -> None:
        """No more items will come; those that wait are still delivered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """As `close`, and then raise `error` to whoever iterates."""
        with self._changed:
            if not self._closed:
                self._error = error
                self._closed = True
                self._changed.notify_all()

    def abort(self, error: BaseException | None = None) -> None:
        """Drop what waits and wake both sides: `put` returns False, iteration raises.

        Args:
            error: what iteration raises; a `ConnectionLostError` if None. The first abort counts.
        """
        with self._changed:
            if self._aborted is None:
                self._aborted = error or ConnectionLostError("The session was aborted.")
                self._items.clear()
                self._bytes = 0
                self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """The next item; waits for it."""
        with self._changed:
            while self._aborted is None and not self._items and not self._closed:
                self._changed.wait()
            if self._aborted is not None:
                raise self._aborted
            if self._items:
                item, size = self._items.popleft()
                self._bytes -= size
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise StopIteration
