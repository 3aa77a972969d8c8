"""Node pools as a cluster's answer lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elastron.cloud.azure.build import api_version
from elastron.cloud.azure.cluster import POOL_KIND
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.resource import Resource
from elastron.cloud.azure.survey import is_ours


def extra_pools(aks: Aks, found: Mapping[str, dict[str, Any] | None]) -> list[Resource]:
    """Node pools of ours that the cluster has and the description has not."""
    cluster = found.get("cluster")
    if cluster is None:
        return []
    return [
        pool_resource(cluster, entry)
        for entry in pool_entries(cluster)
        if entry.get("mode") != "System"
        and entry["name"] not in aks.pools
        and is_ours(entry, aks.name)
    ]


def pool_entries(cluster: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """The pools that a cluster's answer lists."""
    return cluster.get("properties", {}).get("agentPoolProfiles") or []


def pool_resource(cluster: Mapping[str, Any], entry: dict[str, Any]) -> Resource:
    """A node pool as found, with its id as its key."""
    path = f"{cluster['id']}/agentPools/{entry['name']}"
    return Resource(
        key=path.lower(),
        type=POOL_KIND,
        name=f"{cluster['name']}/{entry['name']}",
        api_version=api_version(POOL_KIND),
        id=path,
        body={"properties": entry},
    )


def as_it_stands(aks: Aks, cluster: Mapping[str, Any] | None) -> Aks:
    """The description with the subnet that the cluster's nodes are in, where that is not ours.

    Commands that are given a name only know it from the cluster.
    """
    entries = pool_entries(cluster) if cluster is not None else ()
    subnet = entries[0].get("vnetSubnetID") if entries else None
    if (
        not subnet
        or aks.network.subnet
        or f"/resourcegroups/{aks.group}/".lower() in subnet.lower()
    ):
        return aks
    network = aks.network.model_copy(update={"subnet": subnet})
    return aks.model_copy(update={"network": network})
