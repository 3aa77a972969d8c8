"""Resource ids as Azure Resource Manager reads them: case does not matter, providers nest."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GROUP = re.compile(r"^(/subscriptions/[^/]+/resourcegroups/[^/]+)(/|$)", re.IGNORECASE)
_NAME = re.compile(r"^[A-Za-z0-9_().@-][^<>%&\\?/#]{0,259}$")


@dataclass(frozen=True, slots=True)
class Parsed:
    """An id taken apart.

    Attributes:
        scope: what the last /providers/ hangs below: a subscription, group or resource.
        type: such as `Microsoft.ContainerService/managedClusters/agentPools`.
        name: the last segment.
        parent: id of the resource this one is a child of, or the scope.
    """

    scope: str
    type: str
    name: str
    parent: str


def key(resource_id: str) -> str:
    return resource_id.rstrip("/").lower()


def parse(resource_id: str) -> Parsed | None:
    """None: not the id of a resource (a collection, an action, nonsense)."""
    at = resource_id.lower().rfind("/providers/")
    if at < 0:
        return None
    scope, rest = resource_id[:at], resource_id[at + len("/providers/") :].split("/")
    if len(rest) < 3 or len(rest) % 2 == 0 or not all(_NAME.match(part) for part in rest):
        return None
    kind = "/".join([rest[0], *rest[1::2]])
    parent = scope if len(rest) == 3 else resource_id.rsplit("/", 2)[0]
    return Parsed(scope, kind, rest[-1], parent)


def group_of(resource_id: str) -> str | None:
    found = _GROUP.match(resource_id)
    return found[1] if found else None


def is_group(resource_id: str) -> bool:
    found = _GROUP.match(resource_id)
    return found is not None and found[1] == resource_id.rstrip("/")


def collection(path: str) -> tuple[str, str] | None:
    """(what precedes, type) of a path that lists resources of one type below a scope or parent."""
    at = path.lower().rfind("/providers/")
    if at < 0:
        return None
    rest = path[at + len("/providers/") :].split("/")
    if len(rest) < 2 or len(rest) % 2:
        return None
    return path.rsplit("/", 1)[0] if len(rest) > 2 else path[:at], "/".join([rest[0], *rest[1::2]])
