"""How resources are put together: ids, tags, roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.resource import Body, Facts, Json, Later, Resource, arm_guid

# Versions of Azure's interfaces, by provider: those that Azure's own Python packages use at the
# time of writing, none of them a preview. tests/cloud/azure/test_resources_models.py holds every
# body against these packages' models.
API_VERSIONS = {
    "Microsoft.Resources": "2025-04-01",
    "Microsoft.Authorization": "2022-04-01",
    "Microsoft.ContainerRegistry": "2025-11-01",
    "Microsoft.ContainerService": "2026-08-01",
    "Microsoft.Insights": "2023-03-11",
    "Microsoft.ManagedIdentity": "2024-11-30",
    "Microsoft.Monitor": "2023-04-03",
    "Microsoft.Network": "2026-03-01",
    "Microsoft.OperationalInsights": "2025-07-01",
    "Microsoft.Storage": "2026-09-01",
}

_VERSIONS = {provider.lower(): version for provider, version in API_VERSIONS.items()}

ROLES = {
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "Azure Kubernetes Service RBAC Cluster Admin": "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
    "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d212e7",
    "Storage Account Contributor": "17d1049b-9a84-46fb-8f53-869881c3d3ab",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage File Data SMB MI Admin": "a235d3ee-5935-4cfb-8cc5-a3303ad5995e",
}
"""Built-in roles and their ids, the same in every tenant."""


def api_version(kind: str) -> str:
    """With which version resources of a type are written, read and deleted.

    Args:
        kind: such as Microsoft.ContainerService/managedClusters/agentPools, in any case.

    Raises:
        KeyError: a provider that nothing of ours is of.
    """
    return _VERSIONS[kind.partition("/")[0].lower()]


def group_id(aks: Aks, facts: Facts) -> str:
    """Full id of the resource group."""
    return f"/subscriptions/{facts.subscription_id}/resourceGroups/{aks.group}"


def resource_id(aks: Aks, facts: Facts, kind: str, name: str) -> str:
    """Full id of a resource in the group.

    Args:
        aks: the description.
        facts: for the subscription.
        kind: its type, such as Microsoft.Storage/storageAccounts/blobServices.
        name: a segment for each segment of the type, such as myaccount/default.
    """
    provider, *kinds = kind.split("/")
    path = "/".join(f"{kind}/{part}" for kind, part in zip(kinds, name.split("/"), strict=True))
    return f"{group_id(aks, facts)}/providers/{provider}/{path}"


def in_group(
    aks: Aks,
    facts: Facts,
    key: str,
    kind: str,
    name: str,
    *,
    body: Body,
    placed: bool = True,
    initial: Sequence[str] = (),
    fixed: Sequence[str] = (),
    open_lists: Sequence[str] = (),
    depends_on: Sequence[str] = (),
) -> Resource:
    """A resource in the group.

    Args:
        aks: the description.
        facts: for the subscription.
        key: its name among our resources.
        kind: its type.
        name: a segment for each segment of the type.
        body: without location and tags.
        placed: whether it has a location and tags of its own (children have not).
        initial: see Resource.
        fixed: see Resource.
        open_lists: see Resource.
        depends_on: keys, beside those that the body names.
    """
    whole = {"location": aks.location, "tags": aks.all_tags, **body} if placed else body
    return Resource(
        key=key,
        type=kind,
        name=name,
        api_version=api_version(kind),
        id=resource_id(aks, facts, kind, name),
        body=whole,
        initial=tuple(initial),
        fixed=tuple(fixed),
        open_lists=tuple(open_lists),
        depends_on=tuple(depends_on),
    )


def role(
    aks: Aks,
    facts: Facts,
    key: str,
    role_name: str,
    *,
    principal: Later | str,
    scope_id: str,
    principal_kind: str = "ServicePrincipal",
) -> Resource:
    """A role that someone gets on a resource.

    Args:
        aks: the description.
        facts: for the subscription.
        key: its name among our resources; its GUID is made from it.
        role_name: one of ROLES.
        principal: object id of who gets it.
        scope_id: full id of what it is for.
        principal_kind: ServicePrincipal (identities too), User or Group. Azure is told, so that
            it does not refuse an identity that is so new that it cannot see it yet.
    """
    name = arm_guid(facts.subscription_id, aks.group, aks.name, key)
    definition = (
        f"/subscriptions/{facts.subscription_id}/providers/Microsoft.Authorization"
        f"/roleDefinitions/{ROLES[role_name]}"
    )
    properties: dict[str, Json] = {
        "roleDefinitionId": definition,
        "principalId": principal,
        "principalType": principal_kind,
    }
    return extension(
        key, scope_id, "Microsoft.Authorization/roleAssignments", name, {"properties": properties}
    )


def extension(
    key: str, scope_id: str, kind: str, name: str, body: dict[str, Any], **rest: Any
) -> Resource:
    """A resource that extends another, such as a role on it.

    Args:
        key: its name among our resources.
        scope_id: full id of what it extends.
        kind: its type.
        name: its name.
        body: its body.
        rest: further fields of Resource.
    """
    return Resource(
        key=key,
        type=kind,
        name=name,
        api_version=api_version(kind),
        id=f"{scope_id}/providers/{kind}/{name}",
        body=body,
        scope_id=scope_id,
        **rest,
    )
