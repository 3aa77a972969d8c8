"""The folder a local fleet keeps its state in: what was ordered, what runs, what is to leave.

    up.lock                    held by the `elastron up` that looks after the fleet
    nodes.json                 for the gateway: nodes that take scans
    scale.json                 what an operator asked for
    processes/NAME.order.json  what a process is told at its start
    processes/NAME.json        what it says of itself: its identity, and where it listens
    processes/NAME.leave       it has been told to go; its end is no crash
    logs/NAME.log              what it said on stderr, and NAME.log.1 before that

A process writes its own record first of all. So whoever finds an order without a record can take
the order away, look again, and be sure: no process runs that is not on record.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from elastron.errors import ConfigError
from elastron.fleet.local.identity import Identity

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_FILE_BYTES_MAX = 1 << 20


class Role(StrEnum):
    """What a process of a fleet is."""

    UP = "up"  # `elastron up`: starts, watches and stops the others
    GATEWAY = "gateway"
    STUNNEL = "stunnel"  # ends TLS before the gateway, where Python's ssl cannot
    STORAGE = "storage"
    NODE = "node"
    NURSERY = "nursery"  # nodes are forked from it; never on record, as it ends with `elastron up`


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is told at its start.

    Attributes:
        name: unique in the fleet; never used again for another node.
        role: what it is to be.
        pool: of a node.
        settings: of its role.
        lease_s: how long it goes on without an `elastron up`, once nobody uses it.
        digest: of what makes two processes interchangeable; a running one with the same is adopted.
    """

    name: str
    role: Role
    pool: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    lease_s: float = 600.0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What a process says of itself.

    Attributes:
        name: its own.
        role: what it is.
        identity: process id and start.
        since: when it started (s since 1970), for people.
        address: HOST:PORT for scans, or the URL of a storage server; None until it is ready.
        admin: HOST:PORT of its admin server, if it has one.
        ended: it went down in good order.
    """

    name: str
    role: Role
    identity: Identity
    since: float
    address: str | None = None
    admin: str | None = None
    ended: bool = False

    @property
    def ready(self) -> bool:
        """It serves."""
        return self.address is not None

    @property
    def alive(self) -> bool:
        """Its process runs."""
        return self.identity.alive


def digest(settings: Mapping[str, Any]) -> str:
    """A short name of settings; equal for equal ones."""
    text = json.dumps(settings, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


class StateFolder:
    """Reads and writes the files of one fleet; only this user may.

    Args:
        path: made if it is not there.

    Raises:
        ConfigError: the folder is another user's, or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._processes = self.path / "processes"
        try:
            for folder in (self.path, self._processes, self.path / "logs"):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = self.path.stat()
            if hasattr(os, "getuid") and status.st_uid != os.getuid():
                raise ConfigError(
                    f"{self.path} belongs to another user; choose a state folder of your own "
                    "with --state."
                )
            if status.st_mode & 0o077:
                self.path.chmod(0o700)
        except OSError as error:
            raise ConfigError(
                f"The state folder {self.path} cannot be used: {error.strerror}. Choose another "
                "with --state."
            ) from error

    @property
    def nodes_file(self) -> Path:
        """Nodes that take scans, for the gateway (`--nodes file:PATH`)."""
        return self.path / "nodes.json"

    @property
    def lock_file(self) -> Path:
        """Held by the `elastron up` in charge."""
        return self.path / "up.lock"

    @property
    def scale_file(self) -> Path:
        """What an operator asked for, see `elastron.fleet.local.wishes`."""
        return self.path / "scale.json"

    def log_path(self, name: str) -> Path:
        """Where process `name` logs to."""
        return self.path / "logs" / f"{checked_name(name)}.log"

    # --- orders and records ---------------------------------------------------------------------

    def names(self) -> list[str]:
        """Of all processes that were ordered or are on record."""
        found = {path.name.partition(".")[0] for path in self._processes.glob("*.json")}
        return sorted((name for name in found if _NAME.fullmatch(name)), key=_by_number)

    def write_order(self, order: Order) -> None:
        """Say what a process is to be."""
        self.write(self._order_path(order.name), asdict(order))

    def order(self, name: str) -> Order | None:
        """What a process was told; None if there is no such order."""
        value = self.read(self._order_path(name))
        try:
            return None if value is None else Order(**{**value, "role": Role(value["role"])})
        except (TypeError, ValueError, KeyError):  # of another version
            return None

    def withdraw_order(self, name: str) -> None:
        """A process that has not put itself on record yet will not begin."""
        self._order_path(name).unlink(missing_ok=True)

    def write_record(self, record: Record) -> None:
        """Say what a process is."""
        self.write(self._record_path(record.name), asdict(record))

    def record(self, name: str) -> Record | None:
        """What a process says of itself; None if it has not yet."""
        value = self.read(self._record_path(name))
        try:
            if value is None:
                return None
            identity = Identity(**value["identity"])
            return Record(**{**value, "role": Role(value["role"]), "identity": identity})
        except (TypeError, ValueError, KeyError):
            return None

    def records(self) -> Iterator[Record]:
        """Of all processes on record, alive or not."""
        for name in self.names():
            record = self.record(name)
            if record is not None:
                yield record

    def sign_in(self, name: str, role: Role) -> Record:
        """Put this process on record."""
        record = Record(name, role, Identity.own(), since=time.time())
        self.write_record(record)
        return record

    def sign_off(self, name: str) -> None:
        """This process ends in good order."""
        record = self.record(name)
        if record is not None and record.identity == Identity.own():
            self.write_record(replace(record, ended=True))

    def mark_leaving(self, name: str) -> None:
        """Remember that a process is to go."""
        self._leave_path(name).touch(mode=0o600)

    def unmark_leaving(self, name: str) -> None:
        """It may stay after all."""
        self._leave_path(name).unlink(missing_ok=True)

    def leaving(self, name: str) -> bool:
        """Whether a process has been told to go."""
        return self._leave_path(name).exists()

    def forget(self, name: str) -> None:
        """Take everything of a process away but its log."""
        for path in (self._order_path(name), self._record_path(name), self._leave_path(name)):
            path.unlink(missing_ok=True)

    def next_node_name(self) -> str:
        """A name that no node has had."""
        path = self.path / "node-number"
        value = self.read(path)
        number = (value if isinstance(value, int) else 0) + 1
        self.write(path, number)
        return f"node-{number}"

    # --- files ----------------------------------------------------------------------------------

    def write(self, path: Path, value: Any) -> None:
        """Write JSON; readers see the old file or the new one, whole."""
        text = json.dumps(value, indent=1, default=str)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(path)

    def read(self, path: Path) -> Any:
        """Read JSON; None if there is none."""
        with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
            return json.loads(file.read(_FILE_BYTES_MAX))
        return None

    def _order_path(self, name: str) -> Path:
        return self._processes / f"{checked_name(name)}.order.json"

    def _record_path(self, name: str) -> Path:
        return self._processes / f"{checked_name(name)}.json"

    def _leave_path(self, name: str) -> Path:
        return self._processes / f"{checked_name(name)}.leave"


def checked_name(name: str) -> str:
    """A name that is safe to make a file's name of.

    Raises:
        ConfigError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:70]!r} is no name; write lower-case letters, digits and hyphens, "
            "63 at most, such as node-1."
        )
    return name


def _by_number(name: str) -> tuple[str, int, str]:
    """So that node-10 comes after node-9."""
    word, _, number = name.rpartition("-")
    return (word, int(number), name) if number.isdecimal() else (name, 0, name)
