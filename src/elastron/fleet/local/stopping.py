"""Ending a fleet whose `elastron up` is gone: gateway, then nodes, then storage."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable

from elastron.fleet.local.folder import Record, Role, StateFolder

_LOOK_S = 0.05
#: One role after the other: the gateway's scans need their way out and their nodes, and these the
#: storage server.
_ORDER = (Role.GATEWAY, Role.STUNNEL, Role.NODE, Role.STORAGE)


def stop_fleet(
    folder: StateFolder, *, now: bool, say: Callable[[str], None] = lambda _words: None
) -> int:
    """End all processes of a fleet, and remove what they left but their logs.

    Args:
        folder: of the fleet; no `elastron up` may be in charge of it.
        now: do not wait for running scans.
        say: told what is waited for.

    Returns:
        How many processes there were.
    """
    for name in folder.names():
        if folder.record(name) is None:
            folder.withdraw_order(name)  # what is about to begin will not
    count = 0
    for role in _ORDER:
        alive = [each for each in folder.records() if each.role is role and each.alive]
        count += len(alive)
        for record in alive:
            folder.mark_leaving(record.name)
            record.identity.signal(signal.SIGKILL if now else signal.SIGTERM)
            record.identity.signal(signal.SIGCONT)
        if alive:
            say(f"{role} ends")
        _wait(alive)
    clear(folder)
    return count


def clear(folder: StateFolder) -> None:
    """Remove what a fleet that has ended left, but its logs."""
    for name in folder.names():
        record = folder.record(name)
        if record is None or not record.alive:
            folder.forget(name)
    for path in (folder.nodes_file, folder.scale_file):
        path.unlink(missing_ok=True)


def _wait(records: Iterable[Record]) -> None:
    for record in records:
        while record.alive:
            time.sleep(_LOOK_S)
