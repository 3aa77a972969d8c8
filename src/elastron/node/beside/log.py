"""Counts reconstructions in a Gadgetron's log, and keeps the log from filling the disk."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from pathlib import Path

import structlog

#: What the Gadgetron prints when config and header are there (connection/StreamConnection.cpp).
STARTED = b"Connection state: [STREAM]"
_PIECE_BYTES = 256 * 1024
#: In one look, so that a long log does not hold up the others; the next look goes on.
_LOOK_BYTES = 32 * 1024 * 1024
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class GadgetronLog:
    """Follows a log through appending, rotation and truncation.

    The start of a reconstruction is counted wherever it stands: lines of processes that write at
    once may be mixed. `[FINISHED]` is not counted: questions print it too, and a process that
    crashed does not.

    Args:
        path: of the log; it need not exist yet.
        bytes_max: emptied when larger.

    Attributes:
        started: reconstructions so far.
    """

    def __init__(self, path: Path, bytes_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._log = structlog.get_logger()
        self._fd: int | None = None
        self._at = 0
        self._tail = b""
        self._may_empty = True
        self._complaint: str | None = None
        self._lock = threading.Lock()
        self.started = 0

    def read(self) -> None:
        """Count what has been written since the last time. Blocks; never raises."""
        complaint = None
        with self._lock:
            try:
                self._follow()
            except OSError as error:
                complaint = error.strerror
                self._close()
        if complaint not in (None, self._complaint):
            self._log.warning("the log cannot be read", log=str(self._path), reason=complaint)
        self._complaint = complaint

    def close(self) -> None:
        """Close the file, once a read that is under way has ended."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self._at, self._tail = None, 0, b""

    def _follow(self) -> None:
        if self._fd is not None:
            current = self._current(self._fd)
            whole = self._count(self._fd)
            if not current and whole:  # rotated; its last lines have been read
                self._close()
        if self._fd is None:
            self._fd = self._open()
            if self._fd is None:
                return
            self._count(self._fd)
        self._empty_if_large(self._fd)

    def _open(self) -> int | None:
        fd = None
        with contextlib.suppress(FileNotFoundError):
            try:
                fd = os.open(self._path, os.O_RDWR | _FLAGS)
                self._may_empty = True
            except PermissionError:
                fd = os.open(self._path, os.O_RDONLY | _FLAGS)
                self._may_empty = False
                self._log.warning(
                    "the log may be read but not emptied; let the sidecar run as the same user",
                    log=str(self._path),
                )
        if fd is not None and not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(0, "it is no plain file")
        return fd

    def _current(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._path, follow_symlinks=False), os.fstat(fd))
        except FileNotFoundError:
            return True  # moved away; the new one will come, and until then this is written to

    def _count(self, fd: int) -> bool:
        """Count what is new; True at the log's end."""
        if os.fstat(fd).st_size < self._at:  # truncated
            self._at, self._tail = 0, b""
        end = self._at + _LOOK_BYTES
        while self._at < end and (piece := os.pread(fd, _PIECE_BYTES, self._at)):
            self._at += len(piece)
            data = self._tail + piece
            self.started += data.count(STARTED)
            self._tail = data[1 - len(STARTED) :]  # too short to be counted twice
        return self._at < end

    def _empty_if_large(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        if size > self._bytes_max and size == self._at and self._may_empty:
            # Whoever appends goes on at the new end. A line of this very moment may be lost.
            os.ftruncate(fd, 0)
            self._at, self._tail = 0, b""
            self._log.info("the Gadgetron's log was emptied", bytes=size)
