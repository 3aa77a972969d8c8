"""A journal's place on disk: a file without a name, written and read by threads."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DiskFile:
    """Bytes appended to, and read from anywhere.

    The file has no name in the folder, so nothing of it stays when the process ends, however that
    happens.

    Args:
        folder: on the disk.
        executor: whose threads touch the disk.

    Attributes:
        size: bytes written.

    Raises:
        OSError: no file can be made there.
    """

    def __init__(self, folder: Path, executor: Executor) -> None:
        self._executor = executor
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._users = 0
        self._closing = False
        self.size = 0

    async def append(self, buffers: Sequence[memoryview]) -> int:
        """Write behind all that is there.

        Returns:
            Where the first byte lies.

        Raises:
            OSError: the disk is full or broken; nothing counts as written.
        """
        place = self.size
        await self._run(_write, self._file.fileno(), buffers, place)
        self.size = place + sum(map(len, buffers))
        return place

    async def read(self, place: int, size: int) -> bytes:
        """Some bytes from `place` on, at most `size` and at least one.

        Raises:
            OSError: the disk is broken.
        """
        data = await self._run(os.pread, self._file.fileno(), size, place)
        if not data:
            raise OSError(f"a journal's file ends before byte {place}")
        return data

    def close(self) -> None:
        """Give the disk back once nobody reads or writes any more."""
        self._closing = True
        self._close_if_idle()

    async def _run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if self._closing:
            raise OSError("a journal's file is closed")
        self._users += 1
        running = asyncio.get_running_loop().run_in_executor(
            self._executor, lambda: call(*args, **kwargs)
        )
        # Also if the caller is cancelled: the thread still uses file and buffers.
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    def _done(self, running: asyncio.Future[_T]) -> None:
        if not running.cancelled():
            running.exception()  # told to the caller, if it still is there
        self._users -= 1
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._closing and self._users == 0 and not self._file.closed:
            try:
                # Freeing a large file takes time.
                self._executor.submit(self._file.close)
            except RuntimeError:  # the threads have ended
                self._file.close()


def _write(fd: int, buffers: Sequence[memoryview], place: int) -> None:
    left = list(buffers)
    while left:
        written = os.pwritev(fd, left, place)
        place += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
