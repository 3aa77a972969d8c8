"""All that Azure is to have for one description, in the order in which it can be made."""

from __future__ import annotations

from elastron.cloud.azure.build import api_version, group_id
from elastron.cloud.azure.cluster import cluster_id, cluster_resources, pool_resources
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.identity import federation_resources, identity_resources
from elastron.cloud.azure.monitoring import rules, stores
from elastron.cloud.azure.network import network_resources
from elastron.cloud.azure.registry import registry_resources, registry_roles
from elastron.cloud.azure.resource import Facts, Resource, with_dependencies
from elastron.cloud.azure.storage import storage_resources, storage_roles
from elastron.cloud.azure.vpn import vpn_resources


def resources(aks: Aks, facts: Facts) -> list[Resource]:
    """Resources of a cluster, each after those it depends on.

    Pure: nothing is asked or changed.

    Args:
        aks: the description.
        facts: what only Azure knows.
    """
    return with_dependencies(
        [
            group_resource(aks, facts),
            *network_resources(aks, facts),
            *stores(aks, facts),
            *identity_resources(aks, facts),
            *storage_resources(aks, facts),
            *registry_resources(aks, facts),
            *cluster_resources(aks, facts),
            *pool_resources(aks, facts),
            *federation_resources(aks, facts),
            *storage_roles(aks, facts),
            *registry_roles(aks, facts),
            *rules(aks, facts, cluster_id(aks, facts)),
            *vpn_resources(aks, facts),  # last: a gateway takes half an hour
        ]
    )


def group_resource(aks: Aks, facts: Facts) -> Resource:
    """The resource group."""
    return Resource(
        key="group",
        type="Microsoft.Resources/resourceGroups",
        name=aks.group,
        api_version=api_version("Microsoft.Resources"),
        id=group_id(aks, facts),
        body={"location": aks.location, "tags": aks.all_tags},
    )
