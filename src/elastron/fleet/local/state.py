"""What of a local fleet runs now, for commands that were not told where it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from elastron.fleet.local.folder import Record, Role, StateFolder, checked_name

DEFAULT_NAME = "default"


@dataclass(frozen=True, slots=True)
class Running:
    """A local fleet that is up.

    Attributes:
        name: of the fleet.
        folder: its state folder.
        scans: HOST:PORT that scans go to, once the gateway serves.
        admin: URL of the gateway's admin server, likewise.
        storage: URL of the storage server, if the fleet started one.
        supervisor: the `elastron up` in charge; None if it was killed.
        autoscaler: URL of its admin server, which tells what it decided and why; None likewise.
        processes: all that run, by name, `up` left out.
    """

    name: str
    folder: Path
    scans: str | None
    admin: str | None
    storage: str | None
    supervisor: Record | None
    autoscaler: str | None
    processes: dict[str, Record]


def state_path(name: str = DEFAULT_NAME, state: Path | None = None) -> Path:
    """Where a fleet keeps its state: `state` if given, else `$XDG_STATE_HOME/elastron/NAME`.

    Raises:
        ConfigError: `name` cannot be a folder's name.
    """
    if state is not None:
        return state.absolute()
    base = os.environ.get("XDG_STATE_HOME")
    home = Path(base) if base else Path.home() / ".local" / "state"
    return home / "elastron" / checked_name(name)


def find_running(name: str = DEFAULT_NAME, state: Path | None = None) -> Running | None:
    """The fleet of that name (or in that state folder) if any process of it runs, else None.

    Raises:
        ConfigError: `name` is no name, or the folder is another user's.
    """
    path = state_path(name, state)
    if not path.is_dir():
        return None
    folder = StateFolder(path)
    alive = {record.name: record for record in folder.records() if record.alive}
    supervisor = alive.pop(Role.UP.value, None)
    if supervisor is None and not alive:
        return None
    gateway, storage = alive.get(Role.GATEWAY.value), alive.get(Role.STORAGE.value)
    return Running(
        name=path.name if state is not None else name,
        folder=path,
        scans=None if gateway is None else gateway.address,
        admin=_url(gateway),
        storage=None if storage is None else storage.address,
        supervisor=supervisor,
        autoscaler=_url(supervisor),
        processes=alive,
    )


def _url(record: Record | None) -> str | None:
    return None if record is None or record.admin is None else f"http://{record.admin}"


def count_nodes(folder: StateFolder, pool: str) -> int:
    """Nodes of a pool that take scans; those that leave do not count."""
    count = 0
    for record in folder.records():
        if record.role is Role.NODE and record.ready and record.alive:
            order = folder.order(record.name)
            count += order is not None and order.pool == pool and not folder.leaving(record.name)
    return count
