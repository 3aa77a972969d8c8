"""Journals: bytes kept in memory, and on disk where memory does not suffice.

A connection is received straight into a journal's segments and sent on from them; there is no
other copy. When the memory of all journals together runs short, full segments are written to disk,
those first that will be needed last. Everything belongs to the event loop; only the disk is left
to threads.

    get_buffer ─> received ─> [segment in memory] ─── view ──> (send)
                                   │  spilled by the space, when memory is short
                                   v
                              [place in a file] ──── read ──> (replay, archive, late fetch)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator
from operator import attrgetter
from typing import TYPE_CHECKING

from elastron.gateway.disk import DiskFile
from elastron.gateway.memory import Segment

if TYPE_CHECKING:
    from elastron.gateway.journal_space import JournalSpace

#: Segments written to disk at once.
_BATCH = 8


class _Piece:
    """Bytes of a journal that lie together.

    Attributes:
        start: offset of the first in the journal.
        size: how many are there.
        segment: where they are, if in memory.
        place: where they are in the file, if on disk.
        spilling: they are being written to disk.
    """

    __slots__ = ("place", "segment", "size", "spilling", "start")

    def __init__(self, start: int, segment: Segment) -> None:
        self.start = start
        self.size = 0
        self.segment: Segment | None = segment
        self.place: int | None = None
        self.spilling = False

    @property
    def content(self) -> memoryview:
        """The bytes, in memory."""
        if self.segment is None:
            raise AssertionError("the piece is on disk")
        return self.segment.memory[: self.size]


_START = attrgetter("start")


class Journal:
    """The bytes of one direction of a session.

    Args:
        space: whose memory and disk it takes.

    Attributes:
        size: bytes received.
        memory_bytes: of segments in use.
        reading_at: offset that is needed next; what lies before it goes to disk first.
        content_from: offset of the first byte that `pieces` gives.
        released: some of it was let go.
        held_from: what lies from this offset on stays in memory; None: anything may go to disk.
    """

    def __init__(self, space: JournalSpace) -> None:
        self._space = space
        self._pieces: list[_Piece] = []
        # What is left out, in order: first bytes, and those behind the last.
        self._hole_starts: list[int] = []
        self._hole_stops: list[int] = []
        self._file: DiskFile | None = None
        self._closed = False
        self.size = 0
        self.memory_bytes = 0
        self.disk_bytes = 0
        self.reading_at = 0
        self.content_from = 0
        self.released = False
        self.held_from: int | None = None

    # --- writing --------------------------------------------------------------------------------

    def get_buffer(self) -> memoryview | None:
        """Where to receive; never empty. None: there is no room; `room()` waits for it.

        Valid until the next call of any method.
        """
        if self._closed:
            raise AssertionError("the journal is closed")
        last = self._pieces[-1] if self._pieces else None
        if last is None or last.segment is None or last.size == len(last.segment.memory):
            segment = self._space.take(self)
            if segment is None:
                return None
            last = _Piece(self.size, segment)
            self._pieces.append(last)
            self.memory_bytes += len(segment.memory)
            return segment.memory
        return last.segment.memory[last.size :]

    def received(self, count: int) -> memoryview:
        """`count` bytes have been put at the start of the buffer.

        Returns:
            A view of them; valid as the buffer is.
        """
        last = self._pieces[-1]
        first = last.size
        last.size += count
        self.size += count
        return last.content[first:]

    async def room(self) -> None:
        """Return when `get_buffer` may succeed again.

        Raises:
            JournalFullError: it will not.
        """
        await self._space.wait(self)

    async def append(self, data: bytes | memoryview) -> None:
        """Take a copy of `data`.

        Raises:
            JournalFullError: there is no room, and will be none.
        """
        rest = memoryview(data)
        while rest:
            buffer = self.get_buffer()
            if buffer is None:
                await self.room()
                continue
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            self.received(count)
            rest = rest[count:]

    def leave_out(self, start: int, stop: int) -> None:
        """Let `view` and `read` pass over these bytes; holes come in order."""
        if self._hole_stops and self._hole_stops[-1] == start:
            self._hole_stops[-1] = stop
        elif start < stop:
            self._hole_starts.append(start)
            self._hole_stops.append(stop)

    # --- reading --------------------------------------------------------------------------------

    def skip(self, at: int) -> int:
        """The first offset from `at` on that is not left out."""
        if not self._hole_starts:
            return at
        index = bisect_right(self._hole_starts, at) - 1
        return at if index < 0 else max(at, self._hole_stops[index])

    def view(self, at: int) -> memoryview | None:
        """The bytes from `at` on that lie together in memory; None if they are on disk.

        They end where something is left out; `at` itself must not be. Valid until the next await.
        """
        piece = self._piece(at)
        if piece.segment is None:
            return None
        return piece.content[at - piece.start : self._until_hole(at) - piece.start]

    async def read(self, at: int) -> memoryview:
        """The next bytes from `at` on, at least one; a copy that stays valid.

        Raises:
            OSError: the disk is broken.
        """
        piece = self._piece(at)
        stop = min(piece.start + piece.size, self._until_hole(at))
        if piece.segment is not None:
            return memoryview(bytes(piece.content[at - piece.start : stop - piece.start]))
        if self._file is None or piece.place is None:
            raise AssertionError("the piece is neither in memory nor on disk")
        return memoryview(await self._file.read(piece.place + at - piece.start, stop - at))

    def peek(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on, as one; all of them are held in memory (`held_from`)."""
        parts = []
        stop = start + size
        while start < stop:
            piece = self._piece(start)
            part = piece.content[start - piece.start : stop - piece.start]
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    async def copy(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on, as one.

        Raises:
            OSError: the disk is broken.
        """
        parts = []
        stop = start + size
        while start < stop:
            part = (await self.read(start))[: stop - start]
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    @property
    def content_bytes(self) -> int:
        """How many bytes `pieces` gives."""
        begin = self.content_from
        holes = zip(self._hole_starts, self._hole_stops, strict=True)
        left_out = sum(max(0, stop - max(start, begin)) for start, stop in holes)
        return self.size - begin - left_out

    async def pieces(self) -> AsyncIterator[memoryview]:
        """All that is not left out, from `content_from` on; nothing of it was released.

        Raises:
            OSError: the disk is broken.
        """
        at = self.skip(self.content_from)
        while at < self.size:
            piece = await self.read(at)
            yield piece
            at = self.skip(at + len(piece))

    def release(self, before: int) -> None:
        """Nobody will read what lies before this offset again."""
        count = 0
        for piece in self._pieces:
            if piece.start + piece.size > before or piece.spilling or piece is self._pieces[-1]:
                break
            self._give(piece)
            count += 1
        del self._pieces[:count]
        self.released = self.released or count > 0

    def close(self) -> None:
        """Give memory and disk back; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for piece in self._pieces:
            if not piece.spilling:
                self._give(piece)
        self._pieces = [piece for piece in self._pieces if piece.spilling]
        if self._file is not None:
            self._file.close()
        self._space.closed(self)

    @property
    def closed(self) -> bool:
        """`close` was called."""
        return self._closed

    def _piece(self, at: int) -> _Piece:
        index = bisect_right(self._pieces, at, key=_START) - 1
        if self._closed or index < 0 or not at < self.size:
            raise AssertionError(f"byte {at} of {self.size} cannot be read")
        return self._pieces[index]

    def _until_hole(self, at: int) -> int:
        index = bisect_right(self._hole_starts, at)
        return self._hole_starts[index] if index < len(self._hole_starts) else self.size

    def _give(self, piece: _Piece) -> None:
        if piece.segment is not None:
            self.memory_bytes -= len(piece.segment.memory)
            self._space.give(piece.segment)
            piece.segment = None

    # --- to disk --------------------------------------------------------------------------------

    def _to_spill(self, bytes_max: int) -> list[_Piece]:
        """Full pieces in memory that will be needed last."""
        full = self._pieces[:-1]
        if self.held_from is not None:
            del full[max(0, bisect_right(full, self.held_from, key=_START) - 1) :]
        at = bisect_right(full, self.reading_at, key=_START) - 1
        behind = (piece for piece in full[: max(at, 0)] if piece.segment is not None)
        ahead = (piece for piece in reversed(full[max(at, 0) :]) if piece.segment is not None)
        chosen: list[_Piece] = []
        for pieces in (behind, ahead):
            for piece in pieces:
                if len(chosen) == _BATCH or piece.size > bytes_max:
                    return chosen
                bytes_max -= piece.size
                chosen.append(piece)
        return chosen

    async def spill(self, bytes_max: int) -> int:
        """Move some segments to disk.

        Args:
            bytes_max: not more than so many.

        Returns:
            Bytes written; 0: there is nothing to move.

        Raises:
            OSError: the disk is full or broken; nothing has changed.
        """
        pieces = self._to_spill(bytes_max)
        if not pieces:
            return 0
        if self._file is None:
            self._file = self._space.new_file()
        for piece in pieces:
            piece.spilling = True
        written = 0
        try:
            place = await self._file.append([piece.content for piece in pieces])
            for piece in pieces:
                piece.place = place
                place += piece.size
                written += piece.size
        finally:
            for piece in pieces:
                piece.spilling = False
                if piece.place is not None or self._closed:
                    self._give(piece)
        if self._closed:
            return 0
        self.disk_bytes += written
        return written
