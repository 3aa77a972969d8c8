"""How a cluster is, as Azure tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elastron.cloud.azure.build import api_version, group_id
from elastron.cloud.azure.cluster import CLUSTER_KIND, cluster_id
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.engine import Engine
from elastron.cloud.azure.operation import provisioning_state
from elastron.cloud.azure.pools import PoolState, pool_states
from elastron.cloud.azure.resource import Facts, look_up
from elastron.cloud.azure.survey import describe, in_group, is_ours

_ABSENT = "absent"


@dataclass(frozen=True)
class Part:
    """A resource of the group.

    Attributes:
        what: for people, such as `storage account scanssa`.
        type: Azure's.
        name: Azure's.
        state: Succeeded, or what is under way or went wrong.
        ours: whether it was made from here.
    """

    what: str
    type: str
    name: str
    state: str
    ours: bool


@dataclass(frozen=True)
class Status:
    """A cluster and what belongs to it.

    Attributes:
        name: of the cluster.
        resource_group: where it is.
        location: where that is; empty: there is none.
        state: of the cluster: Succeeded, what is under way, or `absent`.
        power: Running or Stopped; empty: unknown.
        kubernetes_version: with its patch; empty: unknown.
        address: of the Kubernetes API; empty: unknown.
        pools: of the cluster.
        parts: everything in the group.
    """

    name: str
    resource_group: str
    location: str
    state: str
    power: str
    kubernetes_version: str
    address: str
    pools: tuple[PoolState, ...]
    parts: tuple[Part, ...]

    @property
    def well(self) -> bool:
        """Whether the cluster is there and runs, and nothing of ours failed or is under way."""
        states = [one.state for one in self.pools] + [one.state for one in self.parts if one.ours]
        return (
            self.state == "Succeeded"
            and self.power != "Stopped"
            and all(state == "Succeeded" for state in states)
        )

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "resourceGroup": self.resource_group,
            "location": self.location,
            "state": self.state,
            "power": self.power,
            "kubernetesVersion": self.kubernetes_version,
            "address": self.address,
            "well": self.well,
            "pools": [pool.to_json() for pool in self.pools],
            "resources": [
                {"type": one.type, "name": one.name, "state": one.state, "ours": one.ours}
                for one in self.parts
            ],
        }


def look(engine: Engine, aks: Aks) -> Status:
    """How a cluster is; changes nothing.

    Raises:
        CloudError: Azure refuses to tell.
        DeadlineError: it does not answer.
    """
    login, arm = engine.login, engine.arm
    facts = Facts(login.subscription_id, login.tenant_id, "")
    cluster = arm.get(cluster_id(aks, facts), api_version(CLUSTER_KIND))
    parts = tuple(
        Part(
            describe(one),
            one.type,
            one.name,
            str(one.body.get("provisioningState") or "Succeeded"),
            is_ours(one.body, aks.name),
        )
        for one in in_group(arm, group_id(aks, facts))
    )
    return Status(
        name=aks.name,
        resource_group=aks.group,
        location=(cluster or {}).get("location", ""),
        state=_ABSENT if cluster is None else provisioning_state(cluster),
        power=look_up(cluster, "properties.powerState.code") or "",
        kubernetes_version=look_up(cluster, "properties.currentKubernetesVersion") or "",
        address=_address(cluster),
        pools=tuple(pool_states(cluster, aks.name)) if cluster is not None else (),
        parts=parts,
    )


def _address(cluster: dict[str, Any] | None) -> str:
    for name in ("fqdn", "privateFQDN"):
        found = look_up(cluster, f"properties.{name}")
        if found:
            return str(found)
    return ""
