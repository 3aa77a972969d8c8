"""How each type of resource behaves: how it is made, what the service adds, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cloud.azure.arm_aks import (
    check_cluster,
    check_pool,
    check_pool_delete,
    cluster_gone,
    fill_cluster,
    fill_pool,
    show_cluster,
)
from tests.cloud.azure.arm_errors import ArmError
from tests.cloud.azure.arm_ids import Parsed, parse
from tests.cloud.azure.arm_services import (
    check_gateway,
    check_registry,
    check_role,
    check_storage,
    fill_blob_service,
    fill_identity,
    fill_ip,
    fill_network,
    fill_registry,
    fill_role,
    fill_storage,
    fill_with,
    fill_workspace,
    identity_gone,
    rule_delete,
    workspace_delete,
)

if TYPE_CHECKING:
    from tests.cloud.azure.arm_state import Azure, Item

Json = dict[str, Any]
Check = Callable[["Azure", str, Parsed, Json, "Item | None"], None]

__all__ = ["KINDS", "ArmError", "Kind", "registered_at_first"]


@dataclass(frozen=True)
class Kind:
    """A resource type.

    Attributes:
        type: as the service spells it.
        answer: how a PUT goes on: sync | async (Azure-AsyncOperation) | location | body (the
            resource's own provisioningState).
        seconds: to make one.
        delete: sync | async | location.
        tracked: has a location.
        shows_state: has properties.provisioningState.
        lags: is not known at once.
        conflict: code of the 409 while an operation is under way.
        whole: an operation on it or on any sibling bars it: the AKS way.
        holds: what its body names cannot be deleted.
        in_use: code of that refusal.
    """

    type: str
    answer: str = "sync"
    seconds: float = 5.0
    delete: str = "sync"
    tracked: bool = True
    shows_state: bool = True
    lags: bool = False
    conflict: str = "Conflict"
    whole: bool = False
    holds: bool = False
    in_use: str = "Conflict"
    lower_id: bool = False
    needs_no_registration: bool = False
    fill: Callable[[Azure, Item, Json], None] | None = None
    show: Callable[[Azure, Item, Json], None] | None = None
    check: Check | None = None
    before_delete: Callable[[Azure, Item, dict[str, str]], None] | None = None
    after_delete: Callable[[Azure, Item], None] | None = None

    def busy_with(self, resource_id: str) -> list[str]:
        """What else must be at rest."""
        parsed = parse(resource_id)
        return [parsed.parent] if parsed and "/providers/" in parsed.parent.lower() else []

    def written_id(self, resource_id: str) -> str:
        """The id as this service writes it."""
        if not self.lower_id:
            return resource_id
        return resource_id.replace("/resourceGroups/", "/resourcegroups/")


def registered_at_first() -> dict[str, tuple[str, float]]:
    """Providers of a subscription that was used before."""
    names = (
        "Microsoft.Authorization", "Microsoft.Resources", "Microsoft.Storage", "Microsoft.Network",
        "Microsoft.Compute", "Microsoft.ManagedIdentity", "Microsoft.ContainerService",
        "Microsoft.OperationalInsights", "Microsoft.OperationsManagement", "Microsoft.Insights",
        "Microsoft.Monitor", "Microsoft.ContainerRegistry", "Microsoft.Dashboard",
        "Microsoft.AlertsManagement", "Microsoft.KubernetesConfiguration",
    )  # fmt: skip
    return {name.lower(): ("Registered", 0.0) for name in names}


_ALL = (
    Kind("Microsoft.Resources/resourceGroups", "sync", 20, "location", needs_no_registration=True),
    Kind(
        "Microsoft.ContainerService/managedClusters",
        "async",
        300,
        "async",
        lower_id=True,
        conflict="OperationNotAllowed",
        holds=True,
        check=check_cluster,
        fill=fill_cluster,
        show=show_cluster,
        after_delete=cluster_gone,
    ),
    Kind(
        "Microsoft.ContainerService/managedClusters/agentPools",
        "async",
        180,
        "async",
        tracked=False,
        conflict="OperationNotAllowed",
        whole=True,
        holds=True,
        check=check_pool,
        fill=fill_pool,
        before_delete=check_pool_delete,
    ),
    Kind(
        "Microsoft.ContainerService/managedClusters/maintenanceConfigurations",
        tracked=False,
        shows_state=False,
    ),
    Kind(
        "Microsoft.ContainerRegistry/registries",
        "async",
        20,
        "location",
        fill=fill_registry,
        check=check_registry,
    ),
    Kind(
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        shows_state=False,
        lags=True,
        fill=fill_identity,
        after_delete=identity_gone,
    ),
    Kind(
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        tracked=False,
        shows_state=False,
        conflict="ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
    ),
    Kind(
        "Microsoft.Authorization/roleAssignments",
        tracked=False,
        shows_state=False,
        check=check_role,
        fill=fill_role,
    ),
    Kind(
        "Microsoft.Storage/storageAccounts",
        "location",
        25,
        check=check_storage,
        fill=fill_storage,
        conflict="StorageAccountOperationInProgress",
    ),
    Kind(
        "Microsoft.Storage/storageAccounts/blobServices",
        tracked=False,
        shows_state=False,
        fill=fill_blob_service,
    ),
    Kind(
        "Microsoft.Storage/storageAccounts/fileServices",
        tracked=False,
        shows_state=False,
        fill=fill_blob_service,
    ),
    Kind(
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        tracked=False,
        shows_state=False,
        fill=fill_with(publicAccess="None", leaseState="Available", hasLegalHold=False),
    ),
    Kind(
        "Microsoft.Storage/storageAccounts/fileServices/shares",
        tracked=False,
        shows_state=False,
        fill=fill_with(enabledProtocols="SMB", accessTier="TransactionOptimized", shareQuota=5120),
    ),
    Kind("Microsoft.Storage/storageAccounts/managementPolicies", tracked=False, shows_state=False),
    Kind(
        "Microsoft.OperationalInsights/workspaces",
        "body",
        15,
        fill=fill_workspace,
        before_delete=workspace_delete,
    ),
    Kind("Microsoft.OperationsManagement/solutions", fill=fill_with()),
    Kind(
        "Microsoft.Monitor/accounts",
        "async",
        20,
        "location",
        fill=fill_with(
            publicNetworkAccess="Enabled", accountId="0a", metrics={"internalId": "mac_1"}
        ),
    ),
    Kind(
        "Microsoft.Dashboard/grafana",
        "async",
        60,
        "async",
        fill=fill_with(endpoint="https://g.example"),
    ),
    Kind("Microsoft.Insights/dataCollectionEndpoints", fill=fill_with(immutableId="dce-1")),
    Kind(
        "Microsoft.Insights/dataCollectionRules",
        fill=fill_with(immutableId="dcr-1"),
        before_delete=rule_delete,
    ),
    Kind("Microsoft.Insights/dataCollectionRuleAssociations", tracked=False, fill=fill_with()),
    Kind("Microsoft.Insights/diagnosticSettings", tracked=False, shows_state=False),
    Kind("Microsoft.AlertsManagement/prometheusRuleGroups", shows_state=False),
    Kind(
        "Microsoft.Network/virtualNetworks",
        "async",
        5,
        "async",
        fill=fill_network,
        in_use="InUseSubnetCannotBeDeleted",
        conflict="AnotherOperationInProgress",
    ),
    Kind(
        "Microsoft.Network/virtualNetworks/subnets",
        "async",
        5,
        "async",
        tracked=False,
        fill=fill_with(),
        in_use="InUseSubnetCannotBeDeleted",
        conflict="AnotherOperationInProgress",
    ),
    Kind(
        "Microsoft.Network/publicIPAddresses",
        "async",
        5,
        "async",
        fill=fill_ip,
        in_use="PublicIPAddressCannotBeDeleted",
    ),
    Kind("Microsoft.Network/natGateways", "async", 5, "async", fill=fill_with(), holds=True),
    Kind("Microsoft.Network/privateDnsZones", "async", 20, "async", fill=fill_with()),
    Kind(
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "async",
        20,
        "async",
        fill=fill_with(),
        holds=True,
    ),
    Kind("Microsoft.Network/networkSecurityGroups", "async", 5, "async", fill=fill_with()),
    Kind("Microsoft.Network/dnsResolvers", "async", 20, "async", fill=fill_with(), holds=True),
    Kind(
        "Microsoft.Network/dnsResolvers/inboundEndpoints",
        "async",
        20,
        "async",
        fill=fill_with(),
        holds=True,
    ),
    Kind("Microsoft.Compute/virtualMachineScaleSets"),
    Kind(
        "Microsoft.Network/virtualNetworkGateways",
        "async",
        1800,
        "async",
        holds=True,
        check=check_gateway,
        fill=fill_with(activeActive=False, enableBgp=False),
    ),
    # a virtual machine, for what others have in a group of ours
    Kind("Microsoft.Compute/virtualMachines", "async", 60, "async", holds=True, fill=fill_with()),
)
KINDS = {kind.type.lower(): kind for kind in _ALL}
