"""Who looks after a fleet: one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from elastron.errors import ConfigError
from elastron.fleet.local.folder import Record, Role, StateFolder


@contextlib.contextmanager
def in_charge(folder: StateFolder, name: str) -> Iterator[Record]:
    """Within the block this process, and no other, looks after the fleet; gives its record.

    Args:
        folder: of the fleet.
        name: of the fleet, for people.

    Raises:
        ConfigError: somebody does already.
    """
    with folder.lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = folder.record(Role.UP.value)
            who = "" if other is None else f" (process {other.identity.pid})"
            raise ConfigError(
                f"The fleet {name!r} is up already{who}. See it with `elastron status`, end it "
                "with `elastron down`, or start another one beside it with --name."
            ) from error
        try:
            yield folder.sign_in(Role.UP.value, Role.UP)
        finally:
            folder.forget(Role.UP.value)
