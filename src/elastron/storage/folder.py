"""Blobs as files: `<root>/<base64url(subject)>/<uuid>`, the original server's layout.

What is acknowledged survives a crash of the machine: a blob is written to a temporary file,
flushed, renamed into place, and the folders that name it are flushed too. (obstore's local
store does not flush, which is why this one is ours.)

Temporary files lie in `<root>/.uploads/<instance>/`; each server process holds a lock on
`<root>/.uploads/<instance>.lock`. A process that starts removes what belongs to locks that
nobody holds: the rest of crashed ones.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from elastron.errors import StorageUnavailableError
from elastron.storage.identity import BlobId
from elastron.storage.problems import BlobMissingError, StoreFullError

CHUNK_BYTES = 1 << 20
"""Bytes of one blob held between the socket and the disk."""

FLUSH_BYTES = 64 << 20
"""A long upload is flushed on the way: the page cache never holds more of it, and the last
flush is short."""

THREADS = 16
UPLOADS = ".uploads"  # no base64url text begins with a dot
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Result = TypeVar("Result")


class FolderStore:
    """Blobs in a folder; several servers may share it."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root).expanduser().resolve()
        self._threads = ThreadPoolExecutor(THREADS, "blobs")
        self._uploads = self._root / UPLOADS
        self._lock: int | None = None

    async def start(self, instance: str) -> Sequence[str]:
        """Make the folder, lock our part of it, and clear the parts of dead processes."""
        return await self._run(self._start, instance)

    def _start(self, instance: str) -> list[str]:
        # Subjects are readable in the folders' names: not for other users of the machine.
        self._root.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._uploads.mkdir(mode=0o750, exist_ok=True)
        dead = [lock.stem for lock in self._uploads.glob("*.lock") if self._clear(lock)]
        lock = self._uploads / f"{instance}.lock"
        while self._lock is None:
            self._lock = _lock(lock, os.O_CREAT)
        self._uploads /= instance
        self._uploads.mkdir()
        _flush_folder(self._root)
        return dead

    def _clear(self, lock: Path) -> bool:
        held = _lock(lock)
        if held is None:  # its process lives, or another server is clearing it
            return False
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(held)
        return True

    async def save(self, key: BlobId, chunks: AsyncIterator[bytes]) -> int:
        """Store all of `chunks`, or nothing; durable on return."""
        upload = _Upload(self._uploads / key.id, self._root / key.folder / key.id)
        pending: list[bytes] = []
        pending_bytes = 0
        try:
            async for chunk in chunks:
                pending.append(chunk)
                pending_bytes += len(chunk)
                if pending_bytes >= CHUNK_BYTES:
                    await self._step(upload, upload.write, pending)
                    pending, pending_bytes = [], 0
            await self._step(upload, upload.finish, pending)
        except BaseException:
            await asyncio.shield(self._abort(upload))
            raise
        return upload.size

    async def _step(self, upload: _Upload, work: Callable[..., None], chunks: list[bytes]) -> None:
        upload.step = asyncio.ensure_future(self._run(work, chunks))
        await asyncio.shield(upload.step)

    async def _abort(self, upload: _Upload) -> None:
        # A cancelled request leaves its thread running: the file must not be closed under it.
        if upload.step is not None:
            await asyncio.gather(upload.step, return_exceptions=True)
        await self._run(upload.abort)

    async def size(self, key: BlobId) -> int:
        """Bytes of a blob."""
        return (await self._run(os.stat, self._root / key.path)).st_size

    async def read(self, key: BlobId, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Open bytes `start` to `stop` (exclusive), in chunks of at most 1 MiB."""
        file, first = await self._run(_open_at, self._root / key.path, start, stop)
        return self._chunks(file, first, start + len(first), stop)

    async def _chunks(
        self, file: int, chunk: bytes, at: int, stop: int
    ) -> AsyncGenerator[bytes, None]:
        try:
            yield chunk
            while at < stop:
                chunk = await self._run(os.pread, file, min(CHUNK_BYTES, stop - at), at)
                if not chunk:
                    raise BlobMissingError("A blob's file is shorter than its record says.")
                at += len(chunk)
                yield chunk
        finally:
            os.close(file)

    async def delete(self, key: BlobId) -> None:
        """Remove a blob, and its subject's folder with the last one."""
        await self._run(self._delete, key)

    def _delete(self, key: BlobId) -> None:
        folder = self._root / key.folder
        try:
            (folder / key.id).unlink(missing_ok=True)
            folder.rmdir()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise

    async def check(self) -> None:
        """Return if the folder is there and may be written to."""
        await self._run(_check_folder, self._root)

    async def close(self) -> None:
        """Give up our part of the uploads folder."""
        if self._lock is not None:
            shutil.rmtree(self._uploads, ignore_errors=True)
            self._uploads.with_name(f"{self._uploads.name}.lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
        self._threads.shutdown(wait=False)

    async def _run(self, work: Callable[..., Result], *arguments: object) -> Result:
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, work, *arguments)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BlobMissingError("A blob's file is not in the blob folder.") from error
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFullError("The blob folder's disk is full.") from error
            raise StorageUnavailableError(
                f"The blob folder does not work: {os.strerror(error.errno or 0)}."
            ) from error


class _Upload:
    """One blob on its way to the disk; every method runs in a thread, one at a time."""

    def __init__(self, temporary: Path, final: Path) -> None:
        self.size = 0
        self.step: asyncio.Future[None] | None = None
        self._temporary = temporary
        self._final = final
        self._file: int | None = None
        self._flushed = 0

    def write(self, chunks: Sequence[bytes]) -> None:
        if self._file is None:
            self._file = os.open(
                self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640
            )
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._file, view) :]
            self.size += len(chunk)
        if self.size - self._flushed >= FLUSH_BYTES:
            os.fdatasync(self._file)
            self._flushed = self.size

    def finish(self, chunks: Sequence[bytes]) -> None:
        self.write(chunks)
        assert self._file is not None  # noqa: S101 - write opened it
        os.fsync(self._file)
        os.close(self._file)
        self._file = None
        folder = self._final.parent
        while True:
            try:
                os.mkdir(folder, 0o750)
                _flush_folder(folder.parent)
            except FileExistsError:
                pass
            try:
                os.rename(self._temporary, self._final)
                break
            except FileNotFoundError:
                # Garbage collection removed the subject's empty folder in between; if it was
                # our file that is gone, that is an error.
                self._temporary.stat()
        _flush_folder(folder)

    def abort(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._temporary.unlink(missing_ok=True)


def _open_at(path: Path, start: int, stop: int) -> tuple[int, bytes]:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(file).st_size < stop:
            raise BlobMissingError("A blob's file is shorter than its record says.")
        return file, os.pread(file, min(CHUNK_BYTES, stop - start), start)
    except BaseException:
        os.close(file)
        raise


def _lock(file: Path, flags: int = 0) -> int | None:
    """Lock a file that is still the one of this name; None where somebody else has it."""
    try:
        held = os.open(file, os.O_RDWR | os.O_CLOEXEC | flags, 0o640)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(held), file.stat()):
            return held
    except OSError:
        pass
    os.close(held)
    return None


def _check_folder(root: Path) -> None:
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
