"""The memory and the disk that all journals share, and who gets how much of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import structlog

from elastron.errors import ElastronError, JournalFullError
from elastron.gateway.disk import DiskFile
from elastron.gateway.journal import Journal
from elastron.gateway.memory import FIRST_BYTES, SEGMENT_BYTES, Segment, SegmentPool
from elastron.gateway.settings import JournalSettings

#: Of the memory: above it segments are written to disk, so that room is there before it is needed.
_SPILL_ABOVE = 3 / 4
#: Of the memory: the rest is kept for small journals, so that one endless scan stops no other.
_LARGE_ONES = 7 / 8
#: Of the memory: up to it a journal is small.
_SMALL = 1 / 16
#: A disk that was full is tried again after so long.
_DISK_PAUSE_S = 2.0
_DISK_THREADS = 2


class JournalSpace:
    """Memory and disk of all journals.

    Args:
        settings: how much of each.
        segment_bytes: size of a segment.

    Attributes:
        memory_bytes: in use.
        disk_bytes: in use.
        journals: that are open.
    """

    def __init__(self, settings: JournalSettings, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.settings = settings
        self.memory_bytes = 0
        self.disk_bytes = 0
        self.journals: set[Journal] = set()
        self._log = structlog.get_logger()
        self._pool = SegmentPool(segment_bytes)
        self._small = SegmentPool(
            min(FIRST_BYTES, segment_bytes // 2), slab_bytes=4 << 20, huge=False
        )
        self._threads = ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="journal")
        self._waiting: deque[tuple[Journal, asyncio.Future[None]]] = deque()
        self._spilling: asyncio.Task[None] | None = None
        self._disk_full_until = 0.0
        self._disk_error: str | None = None

    def start(self) -> None:
        """Look whether the folder can be used.

        Raises:
            ElastronError: it cannot.
        """
        folder = self.settings.folder
        if folder is None:
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.new_file().close()
        except OSError as error:
            raise ElastronError(
                f"the journal's folder {folder} cannot be used: {error.strerror}; choose another, "
                "or none"
            ) from error

    async def stop(self) -> None:
        """Give everything back."""
        for journal in list(self.journals):
            journal.close()
        if self._spilling is not None:
            await asyncio.gather(self._spilling, return_exceptions=True)
        self._threads.shutdown(wait=False)

    def open(self) -> Journal:
        """A new, empty journal; takes nothing until bytes come."""
        journal = Journal(self)
        self.journals.add(journal)
        return journal

    def trim(self) -> None:
        """Give memory back that is not needed; to be called about once a second."""
        self._pool.trim(self.settings.spare_bytes_max)
        self._small.trim(self.settings.spare_bytes_max // 16)

    @property
    def spare_bytes(self) -> int:
        """Memory that is kept for the next scans."""
        return self._pool.spare_bytes + self._small.spare_bytes

    # --- for journals ---------------------------------------------------------------------------

    def new_file(self) -> DiskFile:
        """A file in the folder.

        Raises:
            OSError: it cannot be made.
        """
        if self.settings.folder is None:
            raise AssertionError("there is no folder")
        return DiskFile(self.settings.folder, self._threads)

    def take(self, journal: Journal) -> Segment | None:
        """A segment, small if it is the journal's first; None: there is no room now."""
        if not self.has_room(journal):
            self._spill()
            return None
        pool = self._pool if journal.size else self._small
        self.memory_bytes += pool.segment_bytes
        if self.memory_bytes > _SPILL_ABOVE * self.settings.memory_bytes_max:
            self._spill()
        return pool.take()

    def give(self, segment: Segment) -> None:
        """Take a segment back, and let who waits go on."""
        size = len(segment.memory)
        (self._small if size == self._small.segment_bytes else self._pool).give(segment)
        self.memory_bytes -= size
        for journal, waiter in self._waiting:
            if not waiter.done() and self.has_room(journal):
                waiter.set_result(None)
                break  # the next one is for the next segment

    def closed(self, journal: Journal) -> None:
        """A journal was closed."""
        self.journals.discard(journal)
        self.disk_bytes -= journal.disk_bytes
        if journal.disk_bytes:
            self._disk_full_until = 0.0
        if self._waiting:
            self._spill()
            self._look_for_stuck()

    def has_room(self, journal: Journal) -> bool:
        """The journal would get a segment now."""
        memory_bytes_max = self.settings.memory_bytes_max
        small = journal.memory_bytes <= _SMALL * memory_bytes_max
        most = memory_bytes_max * (1 if small else _LARGE_ONES)
        return self.memory_bytes + self._pool.segment_bytes <= most

    async def wait(self, journal: Journal) -> None:
        """Return when there may be room for `journal`.

        Raises:
            JournalFullError: there will be none.
        """
        if self.has_room(journal):
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (journal, waiter)
        self._waiting.append(entry)
        self._spill()
        self._look_for_stuck()
        timeout_s = self.settings.room_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            raise JournalFullError(
                f"the gateway had no room for more of this scan for {timeout_s:g} s, as it keeps "
                "other running scans too; send it again when less is going on, or allow the "
                "journal more memory or disk"
            ) from None
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(entry)

    def _look_for_stuck(self) -> None:
        """If all that hold memory wait for more of it, nobody will get any: end one's wait."""
        waiting = {journal for journal, waiter in self._waiting if not waiter.done()}
        holders = {journal for journal in self.journals if journal.memory_bytes}
        if self._spilling is not None or not waiting or not holders <= waiting:
            return
        largest = max(waiting, key=attrgetter("size"))
        for journal, waiter in self._waiting:
            if journal is largest:
                waiter.set_exception(
                    JournalFullError(
                        f"the gateway has no room for more than {journal.size} bytes of this "
                        "scan, and no other scan will free any; allow the journal more memory or "
                        "disk"
                    )
                )
                return

    # --- the disk -------------------------------------------------------------------------------

    def _spill(self) -> None:
        if self._spilling is None and self._disk_room() > 0:
            self._spilling = asyncio.create_task(self._spill_all())
            self._spilling.add_done_callback(self._spilled)

    def _disk_room(self) -> int:
        settings = self.settings
        now = asyncio.get_running_loop().time()
        if settings.folder is None or now < self._disk_full_until:
            return 0
        return max(0, settings.disk_bytes_max - self.disk_bytes)

    async def _spill_all(self) -> None:
        enough = _SPILL_ABOVE * self.settings.memory_bytes_max
        while (self._waiting or self.memory_bytes > enough) and (room := self._disk_room()):
            written = 0
            # The one that has most in memory first; small scans stay where they are.
            by_size = sorted(self.journals, key=attrgetter("memory_bytes"), reverse=True)
            for journal in by_size:
                try:
                    written = await journal.spill(room)
                except OSError as error:
                    self._disk_failed(error)
                    return
                if written:
                    self.disk_bytes += written
                    break
            if not written:
                return

    def _spilled(self, task: asyncio.Task[None]) -> None:
        self._spilling = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("journal: cannot spill", exc_info=error)
        self._look_for_stuck()

    def _disk_failed(self, error: OSError) -> None:
        loop = asyncio.get_running_loop()
        self._disk_full_until = loop.time() + _DISK_PAUSE_S
        loop.call_later(_DISK_PAUSE_S, lambda: self._waiting and self._spill())
        if self._disk_error != error.strerror:
            self._disk_error = error.strerror
            self._log.warning(
                "the journal cannot write to its disk; scans are held back when its memory is full",
                reason=error.strerror,
            )
