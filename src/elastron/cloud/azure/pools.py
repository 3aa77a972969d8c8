"""Node pools of a cluster that is there: list, add or change, remove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from elastron.cloud.azure.build import api_version
from elastron.cloud.azure.cluster import CLUSTER_KIND, cluster_id, pool_resource
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_parts import Pool
from elastron.cloud.azure.down import Removal, refuse_foreign
from elastron.cloud.azure.engine import Engine, Proposal
from elastron.cloud.azure.plan import Change, Kind, plan
from elastron.cloud.azure.pool_entries import as_it_stands, pool_entries
from elastron.cloud.azure.preflight import judge
from elastron.cloud.azure.preflight_answers import ask
from elastron.cloud.azure.resource import Facts
from elastron.cloud.azure.survey import Found, is_ours
from elastron.errors import CloudError


@dataclass(frozen=True)
class PoolState:
    """A node pool as Azure has it.

    Attributes:
        name: of the pool.
        mode: System or User.
        vm_size: of its machines.
        nodes: now.
        min: nodes at least; None: its size does not change by itself.
        max: nodes at most; None as for `min`.
        spot: whether Azure may take its machines back.
        taints: of its nodes.
        kubernetes_version: with its patch.
        state: Succeeded, or what is under way or went wrong.
        ours: whether it was made from here.
    """

    name: str
    mode: str
    vm_size: str
    nodes: int
    min: int | None
    max: int | None
    spot: bool
    taints: tuple[str, ...]
    kubernetes_version: str
    state: str
    ours: bool

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def pool_list(engine: Engine, aks: Aks) -> list[PoolState]:
    """The pools of the cluster.

    Raises:
        CloudError: there is no such cluster.
    """
    return pool_states(_cluster(engine, aks), aks.name)


def pool_states(cluster: Mapping[str, Any], name: str) -> list[PoolState]:
    """The pools that a cluster's answer lists.

    Args:
        cluster: the answer.
        name: of the cluster, for the tag.
    """
    return [
        PoolState(
            name=entry["name"],
            mode=entry.get("mode", "User"),
            vm_size=entry.get("vmSize", ""),
            nodes=int(entry.get("count") or 0),
            min=entry.get("minCount") if entry.get("enableAutoScaling") else None,
            max=entry.get("maxCount") if entry.get("enableAutoScaling") else None,
            spot=entry.get("scaleSetPriority") == "Spot",
            taints=tuple(entry.get("nodeTaints") or ()),
            kubernetes_version=entry.get("currentOrchestratorVersion")
            or entry.get("orchestratorVersion", ""),
            state=entry.get("provisioningState", "Succeeded"),
            ours=is_ours(entry, name),
        )
        for entry in pool_entries(cluster)
    ]


def propose_add(engine: Engine, aks: Aks, name: str) -> Proposal:
    """What would be done so that the cluster has a pool as described; changes nothing.

    Args:
        engine: looks.
        aks: a description that has the pool.
        name: of the pool.

    Raises:
        CloudError: there is no such cluster.
    """
    cluster = _cluster(engine, aks)
    # Whoever gives a name only does not know the place: pools are where their cluster is.
    there = {"location": cluster.get("location", aks.location), "pools": {name: aks.pools[name]}}
    alone = as_it_stands(aks.model_copy(update=there), cluster)
    facts = _facts(engine)
    resource = pool_resource(alone, facts, name)
    found = {
        resource.key: engine.arm.get(resource.id, resource.api_version),
        "cluster": dict(cluster),
        "group": {"location": cluster.get("location", aks.location)},
    }
    changes = plan([resource], found)
    if not changes.to_do:
        return Proposal(alone, facts, (resource,), found, changes)
    told = ask(alone, engine.arm, facts, [resource], found)
    findings = tuple(judge(alone, [resource], told))
    return Proposal(alone, facts, (resource,), found, changes, findings)


def propose_remove(engine: Engine, aks: Aks, name: str) -> Removal:
    """What would be done to take a pool away; changes nothing.

    Raises:
        CloudError: there is no such cluster, or the pool is a system pool or not ours.
    """
    cluster = _cluster(engine, aks)
    entry = next((one for one in pool_entries(cluster) if one["name"] == name), None)
    if entry is None:
        return Removal(aks.name, (), (), False, {})
    if entry.get("mode") == "System":
        raise CloudError(f"{name} is the system pool; no cluster is without one.")
    described = aks.model_copy(update={"pools": {name: aks.pools.get(name, Pool())}})
    resource = pool_resource(described, _facts(engine), name)
    found: Found = {resource.key: {"properties": entry}}
    refuse_foreign(resource, found, aks.name)
    return Removal(aks.name, (Change(Kind.DELETE, resource),), (), False, found)


def _facts(engine: Engine) -> Facts:
    login = engine.login
    return Facts(login.subscription_id, login.tenant_id, "", login.object_id, login.kind)


def _cluster(engine: Engine, aks: Aks) -> Mapping[str, Any]:
    cluster = engine.arm.get(cluster_id(aks, _facts(engine)), api_version(CLUSTER_KIND))
    if cluster is None:
        raise CloudError(
            f"There is no cluster {aks.name} in the group {aks.group}. Make it with elastron aks "
            f"up -n {aks.name}, or name its group with --resource-group."
        )
    return cluster
