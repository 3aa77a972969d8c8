"""A container registry from which the nodes may pull."""

from __future__ import annotations

from elastron.cloud.azure.build import in_group, resource_id, role
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.identity import KUBELET
from elastron.cloud.azure.resource import Facts, Resource

_KIND = "Microsoft.ContainerRegistry/registries"


def registry_resources(aks: Aks, facts: Facts) -> list[Resource]:
    """The registry, without the password that registries can have."""
    if aks.registry is None:
        return []
    body = {
        "sku": {"name": aks.registry.tier.value},
        "properties": {"adminUserEnabled": False},
    }
    return [in_group(aks, facts, "registry", _KIND, aks.registry_name, body=body)]


def registry_roles(aks: Aks, facts: Facts) -> list[Resource]:
    """The nodes may pull."""
    if aks.registry is None:
        return []
    registry = resource_id(aks, facts, _KIND, aks.registry_name)
    return [role(aks, facts, "role/registry-pull", "AcrPull", principal=KUBELET, scope_id=registry)]
