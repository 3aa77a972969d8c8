"""What must change so that Azure has what is wanted: decided here, shown, and done elsewhere.

Everything is compared by what we state: what Azure adds of its own (read-only values, defaults)
never counts as a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from elastron.cloud.azure.resource import Body, Json, Resource


class Kind(StrEnum):
    """What is to be done with a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"  # deleted, then created: nothing in it can be changed (role assignments)
    KEEP = "keep"
    DELETE = "delete"
    REFUSE = "refuse"  # it would have to be replaced, and that would lose something


@dataclass(frozen=True)
class Difference:
    """One value that is not as wanted.

    Attributes:
        path: keys joined by dots; items of lists by name, as pools[gpu].
        found: what Azure has; None: nothing.
        wanted: what it is to be; a `Later` where that is known only afterwards.
    """

    path: str
    found: Json
    wanted: Json


@dataclass(frozen=True)
class Change:
    """What is to be done with one resource.

    Attributes:
        kind: what.
        resource: as wanted; for a deletion, as found.
        differences: why, for updates, replacements and refusals.
        body: what is to be sent, with `Later` leaves; empty where nothing is sent.
    """

    kind: Kind
    resource: Resource
    differences: tuple[Difference, ...] = ()
    body: Body | None = None


@dataclass(frozen=True)
class Plan:
    """All changes, in the order in which they are made.

    Attributes:
        changes: including what is kept.
        unlisted: ours by their tag, not in the description, and left alone.
    """

    changes: tuple[Change, ...]
    unlisted: tuple[Resource, ...] = ()

    @property
    def to_do(self) -> tuple[Change, ...]:
        """Changes that do something."""
        return tuple(change for change in self.changes if change.kind is not Kind.KEEP)

    @property
    def refused(self) -> tuple[Change, ...]:
        """Changes that cannot be made; nothing at all is done while there are any."""
        return tuple(change for change in self.changes if change.kind is Kind.REFUSE)


def plan(
    wanted: Sequence[Resource],
    found: Mapping[str, Mapping[str, Any] | None],
    extra: Iterable[Resource] = (),
    *,
    prune: bool = False,
) -> Plan:
    """Changes that lead from what Azure has to what is wanted.

    Args:
        wanted: from `resources`, in order.
        found: what Azure answered to a GET of each, by key; None: it is not there.
        extra: ours by their tag, but not wanted.
        prune: delete these; otherwise they are only listed.
    """
    raise NotImplementedError


def deletions(
    wanted: Sequence[Resource], found: Mapping[str, Mapping[str, Any] | None]
) -> tuple[Change, ...]:
    """What `down` deletes, in order: the last made first, the group last."""
    raise NotImplementedError
