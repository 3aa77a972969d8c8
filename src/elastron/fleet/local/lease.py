"""How long a process of the fleet goes on when nobody looks after it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from elastron.fleet.local.folder import Role, StateFolder

_LOOK_S_MAX = 2.0

#: A process is needed while one of these runs.
_USERS = {
    Role.GATEWAY: frozenset[Role](),
    Role.STUNNEL: frozenset({Role.GATEWAY}),
    Role.NODE: frozenset({Role.GATEWAY}),
    Role.STORAGE: frozenset({Role.GATEWAY, Role.NODE}),
}


class Lease:
    """Time without an `elastron up`, on the caller's clock (s)."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._alone_since: float | None = None

    def expired(self, *, supervised: bool, now: float) -> bool:
        """Whether nobody has looked after this process for the time of the lease."""
        if supervised:
            self._alone_since = None
            return False
        if self._alone_since is None:
            self._alone_since = now
        return now - self._alone_since >= self._lease_s


async def lease_ends(
    folder: StateFolder, role: Role, lease_s: float, *, idle: Callable[[], bool]
) -> None:
    """Return when this process should go by itself.

    That is when no `elastron up` has run for `lease_s` or the folder is gone, no other process
    needs this one, and it has nothing to do. The gateway goes first, for it takes the scans; then
    nodes; then storage.

    Args:
        folder: of the fleet.
        role: of this process.
        lease_s: how long it waits for another `elastron up`.
        idle: whether it has nothing to do.
    """
    lease = Lease(lease_s)
    pause_s = min(_LOOK_S_MAX, max(0.05, lease_s / 4))
    while True:
        await asyncio.sleep(pause_s)
        supervisor = folder.record(Role.UP.value)
        supervised = supervisor is not None and supervisor.alive
        expired = lease.expired(supervised=supervised, now=time.monotonic())
        # Without the folder nobody can find us any more.
        if (expired or not folder.path.exists()) and idle() and not _needed(folder, role):
            return


def _needed(folder: StateFolder, role: Role) -> bool:
    return any(record.role in _USERS[role] and record.alive for record in folder.records())
