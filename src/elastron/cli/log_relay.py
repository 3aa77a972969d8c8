"""What the processes of a fleet log, on the terminal of `elastron up` as well."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from elastron.fleet.local.folder import StateFolder
from elastron.fleet.local.logs import LogReader

_LOOK_S = 0.2


async def relay_logs(folder: StateFolder) -> None:
    """Copy new log lines to stderr, each with its process's name, until cancelled."""
    logs = folder.path / "logs"
    readers = {path: LogReader(path, at_end=True) for path in logs.glob("*.log")}
    try:
        while True:
            await asyncio.sleep(_LOOK_S)
            _relay(folder, readers)
    finally:
        _relay(folder, readers)


def _relay(folder: StateFolder, readers: dict) -> None:
    paths = set((folder.path / "logs").glob("*.log"))
    for path in paths - readers.keys():
        readers[path] = LogReader(path)
    for path in readers.keys() - paths:
        del readers[path]
    lines = [named(path.stem, line) for path, reader in readers.items() for line in reader.lines()]
    if lines:
        with contextlib.suppress(OSError):  # nobody reads any more; the fleet goes on
            sys.stderr.write("\n".join(lines) + "\n")
            sys.stderr.flush()


def named(process: str, line: str) -> str:
    """A log line with the name of its process; JSON stays JSON."""
    if line.startswith("{") and line.endswith("}"):
        return f'{{"process": "{process}", {line[1:]}'
    return f"{process}: {line}"
