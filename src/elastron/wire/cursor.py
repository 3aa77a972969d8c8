"""Reading a message whose bytes may not all be there yet.

A reader is a generator that reads like blocking code. Where bytes are missing it yields how
many the message needs, counted from its id, and goes on once they are there. Arrays are made
last, by `view`, when the whole message lies in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from elastron.errors import LimitError, ProtocolError
from elastron.wire.layout import UINT32, UINT64, name_of
from elastron.wire.limits import Limits

T = TypeVar("T")
#: Yields the bytes the message needs in all; returns what was read.
Reading = Generator[int, None, T]
#: A message type's reader.
Reader = Callable[["Cursor"], Reading[Any]]


@dataclass(frozen=True, slots=True)
class Span:
    """Where an array lies in its message."""

    start: int
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The byte after the last."""
        return self.start + self.dtype.itemsize * math.prod(self.shape)


class Bounds:
    """What a message may hold at most, and errors that name the message.

    Attributes:
        message_id: of the message.
        limits: in force.
    """

    __slots__ = ("limits", "message_id")

    def __init__(self, message_id: int, limits: Limits) -> None:
        self.message_id = message_id
        self.limits = limits

    @property
    def name(self) -> str:
        """The message's name, for errors."""
        return name_of(self.message_id)

    def check(self, value: int, limit: str, field: str) -> None:
        """Refuse `value` of `field` above the limit of that name.

        Raises:
            LimitError: it is.
        """
        most = getattr(self.limits, limit)
        if value > most:
            raise LimitError(
                f"{self.name}: {field} is {value}, the limit is {most} (Limits.{limit})."
            )

    def error(self, what: str) -> ProtocolError:
        """An error that names the message."""
        return ProtocolError(f"{self.name}: {what}")


class Cursor(Bounds):
    """A position in a message.

    Attributes:
        memory: the message's bytes, its id first, as far as they are there (uint8, read-only).
        at: next byte to read.
    """

    __slots__ = ("at", "memory")

    def __init__(self, message_id: int, limits: Limits, memory: np.ndarray) -> None:
        super().__init__(message_id, limits)
        self.memory = memory
        self.at = 2

    def take(self, count: int) -> Reading[int]:
        """Pass over `count` bytes; their first position."""
        start = self.at
        stop = start + count
        if stop > len(self.memory):
            yield stop
        self.at = stop
        return start

    def uint8(self) -> Reading[int]:
        """One byte."""
        start = yield from self.take(1)
        return int(self.memory[start])

    def uint32(self) -> Reading[int]:
        """A 32-bit number."""
        start = yield from self.take(4)
        return UINT32.unpack_from(self.memory.data, start)[0]

    def uint64(self) -> Reading[int]:
        """A 64-bit number."""
        start = yield from self.take(8)
        return UINT64.unpack_from(self.memory.data, start)[0]

    def bytes32(self, limit: str, field: str) -> Reading[bytes]:
        """uint32 count, that many bytes."""
        count = yield from self.uint32()
        return (yield from self._bytes(count, limit, field))

    def bytes64(self, limit: str, field: str) -> Reading[bytes]:
        """uint64 count, that many bytes."""
        count = yield from self.uint64()
        return (yield from self._bytes(count, limit, field))

    def _bytes(self, count: int, limit: str, field: str) -> Reading[bytes]:
        self.check(count, limit, f"length of {field}")
        start = yield from self.take(count)
        return self.memory[start : start + count].tobytes()

    def scalar(self, dtype: np.dtype) -> Reading[np.ndarray]:
        """One structure, copied; shape ()."""
        start = yield from self.take(dtype.itemsize)
        return self.memory[start : self.at].view(dtype).reshape(()).copy()

    def span(self, dtype: np.dtype, shape: tuple[int, ...], limit: str = "") -> Reading[Span]:
        """An array of known shape, to be viewed when the message is there.

        Args:
            dtype: of its elements.
            shape: slowest axis first.
            limit: on the message's bytes up to its end; none if the caller has checked.
        """
        span = Span(self.at, dtype, shape)
        if limit:
            # An axis of length 0 must not hide another that no array can have.
            largest = dtype.itemsize * math.prod(max(length, 1) for length in shape)
            self.check(max(span.stop, largest), limit, "number of bytes")
        yield from self.take(span.stop - span.start)
        return span

    def view(self, span: Span) -> np.ndarray:
        """The array of a span; a read-only view, perhaps unaligned."""
        return self.memory[span.start : span.stop].view(span.dtype).reshape(span.shape)
