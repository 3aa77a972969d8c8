"""Takes a cluster down: exactly what was made for it, in order, and nothing else.

What is ours is known by its tag, by being in something of ours, or (roles, which have no tags) by
its name. The group goes as a whole only if it is ours and holds nothing of others.
"""

from __future__ import annotations

from dataclasses import dataclass

from elastron.cloud.azure.apply import Applying
from elastron.cloud.azure.build import group_id
from elastron.cloud.azure.cluster import cluster_id
from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.engine import Engine
from elastron.cloud.azure.plan import Change, deletions
from elastron.cloud.azure.pool_entries import as_it_stands
from elastron.cloud.azure.resource import Facts, Resource
from elastron.cloud.azure.resources import resources
from elastron.cloud.azure.survey import Found, describe, in_group, is_ours, look_around
from elastron.errors import CloudError


@dataclass(frozen=True)
class Removal:
    """What would be deleted.

    Attributes:
        name: of the cluster.
        changes: deletions in order; those that go with another are not asked for themselves.
        foreign: not ours, in the same group, and left alone; the group then stays.
        whole_group: whether the group goes with all in it.
        found: what Azure has, by key.
    """

    name: str
    changes: tuple[Change, ...]
    foreign: tuple[Resource, ...]
    whole_group: bool
    found: Found

    @property
    def asked(self) -> tuple[Change, ...]:
        """The deletions that Azure is asked for; all others happen with them."""
        return tuple(change for change in self.changes if change.goes_with is None)


def propose_down(engine: Engine, name: str, aks: Aks | None = None) -> Removal:
    """Look at what there is of a cluster, and decide what would go; changes nothing.

    Args:
        engine: looks.
        name: of the cluster.
        aks: its description; None: one of that name in the group `NAME-rg`.

    Raises:
        CloudError: Azure refuses to tell.
        DeadlineError: it does not answer.
    """
    aks = aks or make_aks({"name": name})
    login, arm = engine.login, engine.arm
    facts = Facts(login.subscription_id, login.tenant_id, "", login.object_id, login.kind)
    group = group_id(aks, facts)
    cluster = next(one for one in resources(aks, facts) if one.id == cluster_id(aks, facts))
    aks = as_it_stands(aks, arm.get(cluster.id, cluster.api_version))
    wanted = resources(aks, facts)
    found = look_around(arm, wanted, engine.progress)
    listed = in_group(arm, group) if found["group"] is not None else []
    foreign = tuple(one for one in listed if not is_ours(one.body, name))
    ours = [one for one in listed if is_ours(one.body, name)]
    whole = is_ours(found["group"], name) and not foreign
    mine = _without(wanted, found, name)
    return Removal(name, deletions(mine, found, ours, whole_group=whole), foreign, whole, found)


def carry_out(engine: Engine, removal: Removal) -> None:
    """Delete what was proposed, and wait until it is gone.

    Raises:
        CloudError: Azure refused; the rest is still there, and the next run goes on.
        DeadlineError: it takes too long.
    """
    Applying(engine.arm, removal.asked, removal.found, engine.progress).run()


def refuse_foreign(resource: Resource, found: Found, name: str) -> None:
    """Stop where something is not ours.

    Raises:
        CloudError: it does not carry our tag.
    """
    body = found.get(resource.key) or {}
    properties = body.get("properties", {})
    if not is_ours(body, name) and not is_ours(properties, name):
        raise CloudError(
            f"{describe(resource)} was not made by elastron (it has no tag elastron={name}), and "
            "is left alone. Delete it by hand: az aks nodepool delete, or the portal."
        )


def _without(wanted: list[Resource], found: Found, name: str) -> list[Resource]:
    """Without what somebody else made under one of our names, and what is in it."""
    theirs = [
        one.id.lower() + "/"
        for one in wanted
        if one.key != "group" and "tags" in one.body and found.get(one.key) is not None
        if not is_ours(found[one.key], name)
    ]
    return [
        one for one in wanted if not any(f"{one.id.lower()}/".startswith(path) for path in theirs)
    ]
