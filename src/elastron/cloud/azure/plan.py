"""What must change so that Azure has what is wanted: decided here, shown, and done elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from elastron.cloud.azure.compare import Difference, Rules, differences, merged, within
from elastron.cloud.azure.resource import Body, Json, Later, Resource, look_up, replace_laters

Found = Mapping[str, Mapping[str, Any] | None]
"""What Azure answered to a GET of each resource, by key; None: it is not there."""

_ROLE_KIND = "microsoft.authorization/roleassignments"
_GROUP_KIND = "microsoft.resources/resourcegroups"
_STATE = "properties.provisioningState"

TAG = "elastron"
"""Name of the tag that says whose a resource is; its value is the cluster's name."""


class Kind(StrEnum):
    """What is to be done with a resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"  # deleted, then created: nothing in it can be changed (roles)
    KEEP = "keep"
    DELETE = "delete"
    REFUSE = "refuse"  # it would have to be replaced, and that would lose something


@dataclass(frozen=True)
class Change:
    """What is to be done with one resource.

    Attributes:
        kind: what.
        resource: as wanted; for a deletion, as found.
        differences: why, for updates, replacements and refusals.
        body: what is to be sent, with `Later` leaves; None where nothing is sent.
        goes_with: for a deletion, the key of what it vanishes with; None: it is deleted itself.
    """

    kind: Kind
    resource: Resource
    differences: tuple[Difference, ...] = ()
    body: Body | None = None
    goes_with: str | None = None


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
    found: Found,
    extra: Iterable[Resource] = (),
    *,
    prune: bool = False,
) -> Plan:
    """Changes that lead from what Azure has to what is wanted.

    Args:
        wanted: from `resources`, in order.
        found: what Azure has.
        extra: ours by their tag, but not wanted.
        prune: delete these; otherwise they are only listed.
    """
    gone: set[str] = set()  # keys whose answers will not hold any more
    changes: list[Change] = []
    ids = {resource.key: resource.id for resource in wanted}
    for resource in wanted:
        answers = {key: answer for key, answer in found.items() if answer and key not in gone}
        body = replace_laters(resource.body, lambda later, known=answers: _known(later, known, ids))
        change = _change(resource, body, found.get(resource.key))
        if change.kind in {Kind.CREATE, Kind.REPLACE}:
            gone.add(resource.key)
        changes.append(change)
    listed = {resource.id.casefold() for resource in wanted}
    others = _once(resource for resource in extra if resource.id.casefold() not in listed)
    if not prune:
        return Plan(tuple(changes), tuple(others))
    removals = [Change(Kind.DELETE, resource) for resource in reversed(others)]
    return Plan((*changes, *removals))


def deletions(
    wanted: Sequence[Resource],
    found: Found,
    extra: Iterable[Resource] = (),
    *,
    whole_group: bool,
) -> tuple[Change, ...]:
    """What `down` deletes, in order: what was made last goes first, the group last of all.

    Args:
        wanted: from `resources`, in order.
        found: what Azure has.
        extra: ours by their tag, but not wanted.
        whole_group: delete the group with all in it: only where nothing of others is there.
    """
    there = [resource for resource in wanted if found.get(resource.key) is not None]
    listed = {resource.id.casefold() for resource in there}
    there += _once(resource for resource in extra if resource.id.casefold() not in listed)
    group = next((resource for resource in there if resource.key == "group"), None)
    if not whole_group:
        there = [resource for resource in there if resource is not group]
    whole = group if whole_group else None
    parents = {resource.id.casefold(): resource.key for resource in there}
    return tuple(
        Change(Kind.DELETE, resource, goes_with=_vanishes_with(resource, whole, parents))
        for resource in reversed(there)
    )


def _vanishes_with(
    resource: Resource, group: Resource | None, parents: Mapping[str, str]
) -> str | None:
    if resource is group:
        return None
    path = resource.id.casefold()
    if group is not None and path.startswith(f"{group.id.casefold()}/"):
        return group.key
    if resource.scope_id is not None:
        return None  # roles and links are taken away before what they are on
    parts = path.split("/")
    for length in range(len(parts) - 2, 8, -2):
        key = parents.get("/".join(parts[:length]))
        if key is not None:
            return key
    return None


def _change(resource: Resource, body: Body, found: Mapping[str, Any] | None) -> Change:
    if found is None:
        return Change(Kind.CREATE, resource, body=body)
    theirs = _of_others(body, found)
    if theirs is not None:
        # A group that was made for us is not ours to tag, nor later to delete.
        group = resource.type.casefold() == _GROUP_KIND
        return Change(Kind.KEEP, resource) if group else Change(Kind.REFUSE, resource, (theirs,))
    rules = Rules(resource.initial, resource.open_lists)
    why = list(differences(body, found, rules))
    state = str(look_up(found, _STATE) or "Succeeded")
    if state.casefold() in {"failed", "canceled"}:
        why.append(Difference(_STATE, state, "Succeeded"))
    if not why:
        return Change(Kind.KEEP, resource)
    if resource.type.casefold() == _ROLE_KIND:
        return Change(Kind.REPLACE, resource, tuple(why), body)
    fixed = ("location", *resource.fixed)
    stuck = [each for each in why if any(within(each.path, path) for path in fixed)]
    if stuck:
        return Change(Kind.REFUSE, resource, tuple(stuck))
    return Change(Kind.UPDATE, resource, tuple(why), merged(body, found, rules))


def _of_others(body: Body, found: Mapping[str, Any]) -> Difference | None:
    """Our tag, where it is wanted and what is there does not have it: somebody else made that."""
    for path in ("tags", "properties.tags"):
        wanted = (look_up(body, path) or {}).get(TAG)
        if wanted is None:
            continue
        tags = look_up(found, path) or {}
        there = next((value for name, value in tags.items() if name.casefold() == TAG), None)
        if there != wanted:
            return Difference(f"{path}.{TAG}", there, wanted)
    return None


def _known(later: Later, answers: Mapping[str, Json], ids: Mapping[str, str]) -> Json:
    """The value, if it is known already."""
    value = look_up(answers.get(later.key), later.path)
    if value is None and later.path == "id":
        value = ids.get(later.key)
    if value is None:
        return later
    return f"{later.before}{value}{later.after}" if later.before or later.after else value


def _once(resources: Iterable[Resource]) -> list[Resource]:
    """Each resource once, in a stable order: parents before their children."""
    by_id = {resource.id.casefold(): resource for resource in resources}
    return [by_id[key] for key in sorted(by_id)]
