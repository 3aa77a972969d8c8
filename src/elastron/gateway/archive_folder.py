"""The archive's folder: one folder a scan, whole or not there.

`<time>-<session>/` holds `scan.mrd-stream`, `images.mrd-stream` and `meta.json`, all readable by
the owner only. A scan is written as `.partial-…` and renamed when whole and on disk; one that is
deleted is first renamed away. So who lists the folder never sees half a scan, and several gateways
may share it. Blocking: call it from a thread.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastron.errors import DataError
from elastron.wire import Buffer

SCAN = "scan.mrd-stream"
IMAGES = "images.mrd-stream"
META = "meta.json"

_FILES = (SCAN, IMAGES, META)
_KEY = ".key"
_KEY_BYTES = 32
_PARTIAL = ".partial-"
_DELETED = ".deleted-"
#: A partial folder nobody has written to for so long was left by a gateway that died.
_STALE_S = 3600.0
_NAME = re.compile(r"(?P<time>\d{8}T\d{6}Z)-[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_TIME = "%Y%m%dT%H%M%SZ"
_META_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One archived scan.

    Attributes:
        name: of its folder, and its ID.
        path: of its folder.
        bytes: of all its files.
        time: when it was archived, POSIX seconds.
        meta: what `meta.json` says; empty if it cannot be read.
    """

    name: str
    path: Path
    bytes: int
    time: float
    meta: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """For lists; nothing of the patient."""
        return {"id": self.name, "bytes": self.bytes, **self.meta}


def entry_name(session: str, now: float) -> str:
    """Name of a session's folder; sorts by time.

    Args:
        session: its id.
        now: POSIX seconds.
    """
    stamp = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime(_TIME)
    return f"{stamp}-{session}"


class ArchiveFolder:
    """The folder.

    Args:
        path: made by `make`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make it, readable by nobody else; one that is there keeps its mode."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def entries(self, *, meta: bool = True) -> list[Entry]:
        """All scans, oldest first; none if there is no folder.

        Args:
            meta: read each `meta.json`; else it is empty.
        """
        found = []
        try:
            with os.scandir(self.path) as items:
                names = [
                    item.name
                    for item in items
                    if _NAME.fullmatch(item.name) and item.is_dir(follow_symlinks=False)
                ]
        except FileNotFoundError:
            return []
        for name in sorted(names):
            with contextlib.suppress(FileNotFoundError, ValueError):  # just deleted; no such day
                found.append(self._entry(name, meta))
        return found

    def find(self, name: str) -> Entry:
        """One scan.

        Raises:
            DataError: there is none of that name.
        """
        if _NAME.fullmatch(name) and not (self.path / name).is_symlink():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
                return self._entry(name, True)
        raise DataError(
            f"There is no scan {name[:100]!r} in the archive {self.path}; "
            "`elastron archive ls` lists what there is."
        )

    def remove(self, name: str) -> None:
        """Delete a scan; one that is gone already is no error.

        Raises:
            DataError: not a scan's name.
        """
        if not _NAME.fullmatch(name):
            raise DataError(f"{name[:100]!r} is not the ID of an archived scan.")
        away = self.path / f"{_DELETED}{name}-{secrets.token_hex(4)}"
        with contextlib.suppress(FileNotFoundError):
            (self.path / name).rename(away)
            shutil.rmtree(away)

    def make_room(
        self, *, now: float, retain_s: float, bytes_max: int, room: int = 0
    ) -> tuple[int, list[str]]:
        """Delete scans that are too old, then the oldest until all fit; and what was left half.

        Args:
            now: POSIX seconds.
            retain_s: older scans go.
            bytes_max: of all scans.
            room: bytes that are about to come.

        Returns:
            Bytes that are left, and the names of what went.
        """
        self._remove_stale(now)
        entries = self.entries(meta=False)
        total = sum(entry.bytes for entry in entries)
        removed = []
        for entry in entries:
            if now - entry.time <= retain_s and total + room <= bytes_max:
                break  # all later ones are younger
            self.remove(entry.name)
            removed.append(entry.name)
            total -= entry.bytes
        return total, removed

    def key(self) -> bytes:
        """The secret of this archive's pseudonyms; made when first asked for."""
        path = self.path / _KEY
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes()
            if len(key) == _KEY_BYTES:
                return key
            raise DataError(f"{path} is damaged; delete it, and pseudonyms begin anew.") from None
        with os.fdopen(handle, "wb") as file:
            file.write(key := secrets.token_bytes(_KEY_BYTES))
        return key

    def free_bytes(self) -> int:
        """Room on the disk."""
        return shutil.disk_usage(self.path).free

    def draft(self, name: str) -> Draft:
        """Begin to write a scan."""
        return Draft(self.path, name)

    def _entry(self, name: str, meta: bool) -> Entry:
        path = self.path / name
        match = _NAME.fullmatch(name)
        stamp = datetime.datetime.strptime(match["time"] if match else "", _TIME)
        return Entry(
            name=name,
            path=path,
            bytes=sum(item.stat(follow_symlinks=False).st_size for item in os.scandir(path)),
            time=stamp.replace(tzinfo=datetime.UTC).timestamp(),
            meta=_read_meta(path / META) if meta else {},
        )

    def _remove_stale(self, now: float) -> None:
        """Drafts and deletions that a dead gateway left."""
        with contextlib.suppress(FileNotFoundError):
            for path in self.path.iterdir():
                if path.name.startswith((_PARTIAL, _DELETED)) and not path.is_symlink():
                    with contextlib.suppress(FileNotFoundError):
                        touched = [path.stat().st_mtime]
                        touched += [item.stat().st_mtime for item in os.scandir(path)]
                        if now - max(touched) > _STALE_S:
                            shutil.rmtree(path, ignore_errors=True)


class Draft:
    """A scan that is being written.

    Args:
        folder: the archive's.
        name: of the scan.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise DataError(f"{name[:100]!r} cannot be the name of an archived scan.")
        self._folder = folder
        self._final = folder / name
        self._path = folder / f"{_PARTIAL}{name}-{secrets.token_hex(4)}"
        self._path.mkdir(mode=0o700)

    def open(self, file_name: str) -> io.BufferedWriter:
        """A new file of the scan, to be closed with `finish`."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        return io.BufferedWriter(io.FileIO(os.open(self._path / file_name, flags, 0o600), "wb"))

    @staticmethod
    def write(file: io.BufferedWriter, buffers: Iterable[Buffer]) -> int:
        """Write them all; bytes written."""
        return sum(file.write(buffer) for buffer in buffers)

    @staticmethod
    def finish(file: io.BufferedWriter) -> None:
        """Bring a file to the disk and close it."""
        file.flush()
        os.fsync(file.fileno())
        file.close()

    def commit(self, meta: Mapping[str, Any]) -> None:
        """Write `meta.json`, then make the scan visible."""
        text = json.dumps(meta, indent=2, default=str) + "\n"
        file = self.open(META)
        self.write(file, [text.encode(errors="replace")])
        self.finish(file)
        self._path.rename(self._final)
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def discard(self) -> None:
        """Delete what was written; nothing after `commit`."""
        shutil.rmtree(self._path, ignore_errors=True)


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            meta = json.loads(file.read(_META_BYTES_MAX))
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}
