"""What a wanted Azure resource is: its place, its body, and what is known of it only later.

A body is the JSON that Azure Resource Manager (ARM) takes in a PUT. Where a value exists only once
another resource does, such as the address of a cluster's token issuer, the body holds a `Later`:
the live path replaces it by what Azure answered, the exported template by an expression.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from elastron.errors import ConfigError

Json: TypeAlias = Any
"""JSON of an ARM body; its leaves may be `Later`."""

Body: TypeAlias = dict[str, Json]

# ARM's guid(a, b) is a version 5 UUID of "a-b" in this name space, so that names made here and
# names made by an exported template agree.
_ARM_GUID_SPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")


@dataclass(frozen=True)
class Later:
    """A value that another resource has once it exists.

    Attributes:
        key: of the resource that has it.
        path: where in its answer, keys joined by dots; `id` is its full resource id, which is
            known beforehand.
        before: put before the value.
        after: put after it.
    """

    key: str
    path: str = "id"
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Facts:
    """What only Azure knows, asked before anything is planned.

    Attributes:
        subscription_id: a GUID.
        tenant_id: a GUID, of the Entra tenant.
        kubernetes_version: such as 1.34; what a cluster is created with where the description
            names none.
        user_object_id: who is logged in, for roles in the cluster. None: unknown.
        user_kind: User, ServicePrincipal or Group.
    """

    subscription_id: str
    tenant_id: str
    kubernetes_version: str
    user_object_id: str | None = None
    user_kind: str = "User"


@dataclass(frozen=True)
class Resource:
    """One thing that Azure is to have.

    Attributes:
        key: its name among our resources, such as `cluster` or `pool/gpu`; never changes.
        type: such as Microsoft.ContainerService/managedClusters.
        name: a segment for each segment of the type, such as mycluster/gpu for a pool.
        api_version: with which it is written, read and deleted.
        id: full path, from /subscriptions/ on.
        body: JSON of the PUT, with `Later` leaves.
        scope_id: full id of the resource it extends (a role assignment's scope), or None.
        initial: paths that matter at creation only; Azure changes them later (autoscaling).
        fixed: paths that cannot be changed once it exists.
        open_lists: paths of lists in which others have entries of their own, kept by name.
        depends_on: keys of what must exist before it.
    """

    key: str
    type: str
    name: str
    api_version: str
    id: str
    body: Body
    scope_id: str | None = None
    initial: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    open_lists: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()

    @property
    def location(self) -> str | None:
        """Where it is, or None where its kind has no place."""
        return self.body.get("location")


def with_dependencies(wanted: Sequence[Resource]) -> list[Resource]:
    """The same resources, each with all it depends on: parents, scopes, and whom its body names.

    Raises:
        ValueError: one refers to a later one, which is a mistake in how they are put together.
    """
    done: list[Resource] = []
    keys: dict[str, str] = {}  # by id in small letters
    for resource in wanted:
        named = [later.key for later in laters(resource.body)]
        texts = [resource.id, resource.scope_id or "", *_texts(resource.body)]
        ids = [key for text in texts for key in _owners(text, keys)]
        depends = tuple(
            dict.fromkeys(k for k in (*resource.depends_on, *ids, *named) if k != resource.key)
        )
        unknown = set(depends) - set(keys.values())
        if unknown:
            raise ValueError(f"{resource.key} comes before {', '.join(sorted(unknown))}")
        done.append(replace(resource, depends_on=depends))
        keys[resource.id.lower()] = resource.key
    return done


def _owners(text: str, keys: Mapping[str, str]) -> Iterator[str]:
    """Keys of the resources that an id is of or lies in."""
    parts = text.lower().split("/")
    for length in range(5, len(parts) + 1):
        key = keys.get("/".join(parts[:length]))
        if key is not None:
            yield key


def _texts(body: Json) -> Iterator[str]:
    """All keys and values of a body that may be ids."""
    if isinstance(body, str):
        if body.startswith("/subscriptions/"):
            yield body
    elif isinstance(body, Mapping):
        for key, value in body.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from _texts(value)


def arm_guid(*parts: str) -> str:
    """What ARM's template function guid() makes of the same strings."""
    return str(uuid.uuid5(_ARM_GUID_SPACE, "-".join(parts)))


def laters(body: Json) -> Iterator[Later]:
    """All values in `body` that are known only later."""
    if isinstance(body, Later):
        yield body
    elif isinstance(body, Mapping):
        for value in body.values():
            yield from laters(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from laters(value)


def replace_laters(body: Json, value_of: Callable[[Later], Json]) -> Json:
    """`body` with each `Later` replaced by what `value_of` says."""
    if isinstance(body, Later):
        return value_of(body)
    if isinstance(body, Mapping):
        return {key: replace_laters(value, value_of) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [replace_laters(value, value_of) for value in body]
    return body


def look_up(answer: Json, path: str) -> Json:
    """The value at `path` (keys joined by dots) of an answer; None where it is not there."""
    for part in path.split("."):
        if not isinstance(answer, Mapping):
            return None
        answer = answer.get(part)
    return answer


def resolve(body: Json, answers: Mapping[str, Mapping[str, Json]]) -> Json:
    """`body` as it is sent: each `Later` replaced by the value in its resource's answer.

    Args:
        body: with `Later` leaves.
        answers: what Azure answered, by key.

    Raises:
        ConfigError: a value is not there (yet); says which.
    """

    def value_of(later: Later) -> Json:
        value = look_up(answers.get(later.key), later.path)
        if value is None:
            raise ConfigError(
                f"Azure has not told {later.path} of {later.key} yet; run the command again."
            )
        return f"{later.before}{value}{later.after}" if later.before or later.after else value

    return replace_laters(body, value_of)
