"""Data kept so that it can be sent again: in memory up to a limit, then in temporary files.

A part of a scan that went to another node is kept until its result is here; if that node fails,
the part goes to the next one. Many parts share one limit.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from elastron.errors import ReconstructionError
from elastron.wire import Buffer
from elastron.wire.parts import bytes_of

_VECTOR_MAX = 1024  # buffers in one system call (IOV_MAX)


class SpoolSpace:
    """What all spools of a step may take together.

    Args:
        memory_bytes_max: beyond it pieces go to files.
        disk_bytes_max: beyond it there is an error.
        folder: for the files, which have no names; None for the system's.
    """

    def __init__(
        self, memory_bytes_max: int, disk_bytes_max: int, folder: Path | None = None
    ) -> None:
        self._memory_bytes_max = memory_bytes_max
        self._disk_bytes_max = disk_bytes_max
        self._folder = folder
        self._lock = threading.Lock()
        self.memory_bytes = 0
        self.disk_bytes = 0

    def open(self) -> Spool:
        """An empty spool."""
        return Spool(self)

    def take(self, count: int) -> bool:
        """Reserve bytes; True: in memory, False: on disk.

        Raises:
            ReconstructionError: no room anywhere.
        """
        with self._lock:
            if self.memory_bytes + count <= self._memory_bytes_max:
                self.memory_bytes += count
                return True
            if self.disk_bytes + count > self._disk_bytes_max:
                raise ReconstructionError(
                    f"More than {self._disk_bytes_max >> 20} MiB of this scan wait on disk for "
                    "other nodes to work on them. Add nodes, or raise the limit (disk_bytes_max "
                    "of the node's peers)."
                )
            self.disk_bytes += count
            return False

    def give_back(self, memory: int, disk: int) -> None:
        """Free what was taken."""
        with self._lock:
            self.memory_bytes -= memory
            self.disk_bytes -= disk

    def new_file(self) -> IO[bytes]:
        """A file that vanishes when it is closed.

        Raises:
            ReconstructionError: there is none to be had.
        """
        try:
            return tempfile.TemporaryFile(dir=self._folder, prefix="elastron-", buffering=0)
        except OSError as error:
            raise ReconstructionError(
                f"No temporary file for parts of the scan ({error.strerror}). Check TMPDIR."
            ) from error


class _OnDisk(NamedTuple):
    """Where a piece lies in the spool's file."""

    offset: int
    length: int


class Spool:
    """Pieces in order; one thread appends, others read.

    In memory a piece is the buffers it came as, not a copy: readouts stay where they were received.
    """

    def __init__(self, space: SpoolSpace) -> None:
        self._space = space
        self._pieces: list[Sequence[Buffer] | _OnDisk] = []
        self._file: IO[bytes] | None = None
        self._memory = 0
        self._disk = 0

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def nbytes(self) -> int:
        """Bytes of all pieces."""
        return self._memory + self._disk

    def append(self, buffers: Sequence[Buffer]) -> int:
        """Keep one piece; returns its size in bytes.

        Raises:
            ReconstructionError: there is no room for it.
        """
        count = sum(map(bytes_of, buffers))
        if self._space.take(count):
            self._memory += count
            self._pieces.append(buffers)
            return count
        offset, self._disk = self._disk, self._disk + count
        self._write(buffers, offset)
        self._pieces.append(_OnDisk(offset, count))
        return count

    def read(self, index: int) -> Sequence[Buffer]:
        """One piece.

        Raises:
            ReconstructionError: the file cannot be read.
        """
        piece = self._pieces[index]
        if not isinstance(piece, _OnDisk):
            return piece
        data = bytearray()
        try:
            if self._file is None:
                raise OSError("it was closed")
            while len(data) < piece.length:  # the kernel gives 2 GiB at most at a time
                left = piece.length - len(data)
                more = os.pread(self._file.fileno(), left, piece.offset + len(data))
                if not more:
                    raise OSError(f"it ends after {piece.offset + len(data)} bytes")
                data += more
        except (OSError, ValueError) as error:
            raise ReconstructionError(f"A temporary file cannot be read: {error}.") from error
        return (data,)

    def close(self) -> None:
        """Free everything; nothing can be read any more."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._pieces.clear()
        self._space.give_back(self._memory, self._disk)
        self._memory = self._disk = 0

    def _write(self, buffers: Sequence[Buffer], offset: int) -> None:
        if self._file is None:
            self._file = self._space.new_file()
        views = [view for buffer in buffers if (view := memoryview(buffer).cast("B"))]
        try:
            while views:
                written = os.pwritev(self._file.fileno(), views[:_VECTOR_MAX], offset)
                offset += written
                while views and written >= len(views[0]):
                    written -= len(views.pop(0))
                if written:
                    views[0] = views[0][written:]
        except OSError as error:
            raise ReconstructionError(
                f"Parts of the scan cannot be kept on disk ({error.strerror}). Free space in the "
                "folder for temporary files, or set TMPDIR."
            ) from error
