"""Logs of the fleet's processes: limited in size, kept for a while, followed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from elastron.fleet.local.folder import StateFolder

#: Of one log; the one before it is kept as well.
LOG_BYTES_MAX = 16 << 20
#: Logs of nodes that have left.
OLD_LOGS_MAX = 32
_CHUNK_BYTES = 1 << 20


def limit_log(path: Path, bytes_max: int = LOG_BYTES_MAX) -> bool:
    """Move a log's content to `PATH.1` once it is longer than `bytes_max`; True if that was done.

    The file itself stays, as its writers hold it open; they append, so they go on at its new end.
    A line written just then is lost.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > bytes_max:
            shutil.copyfile(path, path.with_name(path.name + ".1"))
            with path.open("r+b") as file:
                file.truncate(0)
            return True
    return False


def remove_old_logs(folder: StateFolder, keep: Iterable[str], count: int = OLD_LOGS_MAX) -> None:
    """Remove all but the `count` newest logs of processes that are not in `keep`."""
    kept = {folder.log_path(name).name for name in keep}
    old = [path for path in (folder.path / "logs").glob("*.log") if path.name not in kept]
    old.sort(key=_changed, reverse=True)
    for path in old[count:]:
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".1").unlink(missing_ok=True)


def last_lines(path: Path, count: int) -> list[str]:
    """The last whole lines of a log, with those it had before it was moved away if need be."""
    lines: list[str] = []
    for each in (path, path.with_name(path.name + ".1")):
        with contextlib.suppress(OSError), each.open("rb") as file:
            file.seek(max(0, each.stat().st_size - _CHUNK_BYTES))
            data = file.read(_CHUNK_BYTES).decode("utf-8", "replace")
            lines = [*data.splitlines(), *lines]
        if len(lines) >= count:
            break
    return lines[len(lines) - min(count, len(lines)) :]


class LogReader:
    """Reads what is added to a log.

    Args:
        path: of the log; need not be there yet.
        at_end: skip what it holds now.
    """

    def __init__(self, path: Path, *, at_end: bool = False) -> None:
        self._path = path
        self._at = 0
        self._rest = b""
        if at_end:
            with contextlib.suppress(OSError):
                self._at = path.stat().st_size

    def lines(self) -> list[str]:
        """Whole lines that came since the last call."""
        data = self._rest
        with contextlib.suppress(OSError):
            if self._path.stat().st_size < self._at:  # moved away: it begins anew
                self._at, data = 0, b""
            with self._path.open("rb") as file:
                file.seek(self._at)
                new = file.read(_CHUNK_BYTES)
                self._at += len(new)
                data += new
        *lines, self._rest = data.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
