"""Storage account for blobs and shares: reached by identities, never by keys."""

from __future__ import annotations

from elastron.cloud.azure.build import in_group, resource_id, role
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_services import Reach, Redundancy, Share
from elastron.cloud.azure.identity import KUBELET
from elastron.cloud.azure.network import nodes_subnet_id
from elastron.cloud.azure.resource import Body, Facts, Later, Resource

_KIND = "Microsoft.Storage/storageAccounts"
_OTHERS = ("properties.networkAcls.virtualNetworkRules",)  # networks that someone let in by hand


def storage_resources(aks: Aks, facts: Facts) -> list[Resource]:
    """The account with its containers, and an account for NFS shares where these are wanted."""
    account = in_group(
        aks,
        facts,
        "storage",
        _KIND,
        aks.storage_account,
        body={
            "kind": "StorageV2",
            "sku": {"name": f"Standard_{aks.storage.redundancy.value}"},
            "properties": {
                **_closed(aks, facts),
                "accessTier": "Hot",
                "supportsHttpsTrafficOnly": True,
                "azureFilesIdentityBasedAuthentication": {
                    "directoryServiceOptions": "None",
                    "smbOAuthSettings": {"isSmbOAuthEnabled": aks.storage.share is Share.SMB},
                },
            },
        },
        fixed=("kind",),
        open_lists=_OTHERS,
    )
    days = aks.storage.delete_retention_days
    retention: Body = {"enabled": days > 0, **({"days": days} if days else {})}
    blobs = in_group(
        aks,
        facts,
        "storage/blobs",
        f"{_KIND}/blobServices",
        f"{aks.storage_account}/default",
        body={
            "properties": {
                "deleteRetentionPolicy": retention,
                "containerDeleteRetentionPolicy": retention,
            }
        },
        placed=False,
    )
    containers = [
        in_group(
            aks,
            facts,
            f"storage/blobs/{name}",
            f"{_KIND}/blobServices/containers",
            f"{aks.storage_account}/default/{name}",
            body={"properties": {"publicAccess": "None"}},
            placed=False,
        )
        for name in aks.storage.containers
    ]
    return [account, blobs, *containers, *_nfs(aks, facts)]


def storage_roles(aks: Aks, facts: Facts) -> list[Resource]:
    """The storage server may use blobs; the cluster makes shares, and its nodes mount them."""
    account = resource_id(aks, facts, _KIND, aks.storage_account)
    cluster = Later("identity/cluster", "properties.principalId")
    made = [
        role(
            aks,
            facts,
            "role/storage-blobs",
            "Storage Blob Data Contributor",
            principal=Later("identity/storage", "properties.principalId"),
            scope_id=account,
        )
    ]
    if aks.storage.share is Share.NONE:
        return made
    on_nfs = aks.storage.share is Share.NFS
    shares = resource_id(aks, facts, _KIND, aks.share_account) if on_nfs else account
    made.append(
        role(
            aks,
            facts,
            "role/shares-make",
            "Storage Account Contributor",
            principal=cluster,
            scope_id=shares,
        )
    )
    if aks.storage.share is Share.SMB:
        # NFS asks for no name: who is in the subnet may mount.
        made.append(
            role(
                aks,
                facts,
                "role/shares-mount",
                "Storage File Data SMB MI Admin",
                principal=KUBELET,
                scope_id=shares,
            )
        )
    return made


def _nfs(aks: Aks, facts: Facts) -> list[Resource]:
    if aks.storage.share is not Share.NFS:
        return []
    copies = "ZRS" if aks.storage.redundancy is Redundancy.ZRS else "LRS"  # there is no GRS
    return [
        in_group(
            aks,
            facts,
            "shares",
            _KIND,
            aks.share_account,
            body={
                "kind": "FileStorage",
                "sku": {"name": f"Premium_{copies}"},
                # Azure refuses plain NFS on an account that takes HTTPS only.
                "properties": {**_closed(aks, facts), "supportsHttpsTrafficOnly": False},
            },
            fixed=("kind",),
            open_lists=_OTHERS,
        )
    ]


def _closed(aks: Aks, facts: Facts) -> Body:
    """No keys, nothing public, TLS 1.2, and the nodes' subnet only."""
    rules: Body = {"defaultAction": "Allow"}
    if aks.storage.reach is Reach.NODES:
        rules = {
            "defaultAction": "Deny",
            "bypass": "AzureServices",
            "virtualNetworkRules": [{"id": nodes_subnet_id(aks, facts), "action": "Allow"}],
        }
    return {
        "allowSharedKeyAccess": False,
        "allowBlobPublicAccess": False,
        "allowCrossTenantReplication": False,
        "defaultToOAuthAuthentication": True,
        "minimumTlsVersion": "TLS1_2",
        "publicNetworkAccess": "Enabled",  # of the networks below, by name
        "networkAcls": rules,
    }
