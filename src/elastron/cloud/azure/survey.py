"""What Azure has already: read before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.build import api_version
from elastron.cloud.azure.events import Event, Progress, Step, silent
from elastron.cloud.azure.operation import provisioning_state
from elastron.cloud.azure.plan import TAG
from elastron.cloud.azure.resource import Resource

Found = dict[str, dict[str, Any] | None]


def look_around(arm: Arm, wanted: Sequence[Resource], progress: Progress = silent) -> Found:
    """Each resource as Azure has it, by key; None: it is not there.

    What is being deleted is waited for, since it is neither there nor can it be made.

    Args:
        arm: asked.
        wanted: in an order in which parents come before what is in them.
        progress: is told where something is waited for.
    """
    found: Found = {}
    absent: list[str] = []
    for resource in wanted:
        path = resource.id.lower() + "/"
        if any(path.startswith(one) for one in absent):
            found[resource.key] = None
            continue
        body = arm.get(resource.id, resource.api_version)
        if body is not None and provisioning_state(body).lower() == "deleting":
            what = describe(resource)
            progress(Event(Step.BEGUN, what, "wait for the deletion of"))
            arm.wait(arm.watch(resource.id, resource.api_version, what, delete=True))
            body = None
        found[resource.key] = body
        if body is None:
            absent.append(path)
    return found


def in_group(arm: Arm, group_id: str) -> list[Resource]:
    """All top-level resources of a group, with `provisioningState`; none if it is not there."""
    listed = arm.list(
        f"{group_id}/resources", api_version("Microsoft.Resources"), expand="provisioningState"
    )
    return [listed_resource(one) for one in listed]


def listed_resource(entry: Mapping[str, Any]) -> Resource:
    """A resource from a list's entry; its key is its id, its body what the list tells."""
    kind = str(entry["type"])
    try:
        version = api_version(kind)
    except KeyError:
        version = ""  # of a provider that nothing of ours is of: never written or deleted
    return Resource(
        key=str(entry["id"]).lower(),
        type=kind,
        name=str(entry["name"]),
        api_version=version,
        id=str(entry["id"]),
        body=dict(entry),
    )


def is_ours(body: Mapping[str, Any] | None, name: str) -> bool:
    """Whether a resource carries our tag."""
    tags = (body or {}).get("tags") or {}
    return any(key.lower() == TAG and value == name for key, value in tags.items())


def describe(resource: Resource) -> str:
    """A resource for people, such as `node pool gpu`."""
    kind = resource.type.lower()
    word = _WORDS.get(kind) or resource.type.rsplit("/", 1)[-1]
    name = resource.name.rsplit("/", 1)[-1]
    if kind in _NAMELESS:
        return f"{word} {resource.key.rsplit('/', 1)[-1]}" if "/" in resource.key else word
    return f"{word} {name}"


_WORDS = {
    "microsoft.resources/resourcegroups": "resource group",
    "microsoft.containerservice/managedclusters": "cluster",
    "microsoft.containerservice/managedclusters/agentpools": "node pool",
    "microsoft.containerservice/managedclusters/maintenanceconfigurations": "upgrade window",
    "microsoft.containerregistry/registries": "registry",
    "microsoft.managedidentity/userassignedidentities": "identity",
    "microsoft.managedidentity/userassignedidentities/federatedidentitycredentials": "pods' login",
    "microsoft.authorization/roleassignments": "role",
    "microsoft.storage/storageaccounts": "storage account",
    "microsoft.storage/storageaccounts/blobservices": "blob settings",
    "microsoft.storage/storageaccounts/fileservices": "share settings",
    "microsoft.storage/storageaccounts/blobservices/containers": "blob container",
    "microsoft.storage/storageaccounts/fileservices/shares": "file share",
    "microsoft.operationalinsights/workspaces": "log workspace",
    "microsoft.monitor/accounts": "metrics account",
    "microsoft.insights/datacollectionendpoints": "collection endpoint",
    "microsoft.insights/datacollectionrules": "collection rule",
    "microsoft.insights/datacollectionruleassociations": "collection link",
    "microsoft.network/virtualnetworks": "network",
    "microsoft.network/publicipaddresses": "public address",
    "microsoft.network/virtualnetworkgateways": "VPN gateway",
}
# Their names are GUIDs, or always the same.
_NAMELESS = frozenset(
    {
        "microsoft.authorization/roleassignments",
        "microsoft.storage/storageaccounts/blobservices",
        "microsoft.storage/storageaccounts/fileservices",
    }
)
