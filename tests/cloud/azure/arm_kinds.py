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
from tests.cloud.azure.arm_ids import Parsed, key, parse

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


def _fill(**added: Any) -> Callable[[Azure, Item, Json], None]:
    """Defaults of the properties, where the body says nothing."""

    def fill(azure: Azure, item: Item, before: Json) -> None:
        properties = item.body.setdefault("properties", {})
        for name, value in added.items():
            properties.setdefault(name, value)
        item.body["etag"] = f'W/"{azure.made}"'

    return fill


def _workspace(azure: Azure, item: Item, before: Json) -> None:
    old = azure.deleted_workspaces.pop(key(item.id), None)  # within 14 days: it comes back
    properties = item.body.setdefault("properties", {})
    properties.setdefault("customerId", (old or {}).get("customerId") or azure.principal(item.id))
    properties.setdefault("retentionInDays", 30)
    properties.setdefault("publicNetworkAccessForIngestion", "Enabled")
    properties["workspaceCapping"] = {"dailyQuotaGb": -1.0} | properties.get("workspaceCapping", {})
    # This service answers in small letters.
    sku = properties.get("sku", {"name": "pergb2018"})
    properties["sku"] = {**sku, "name": sku["name"].lower()}


def _workspace_delete(azure: Azure, item: Item, query: dict[str, str]) -> None:
    if query.get("force", "").lower() != "true":
        azure.deleted_workspaces[key(item.id)] = dict(item.body["properties"])


def _storage(azure: Azure, item: Item, before: Json) -> None:
    name = item.body["name"]
    properties = item.body.setdefault("properties", {})
    ends = {
        one: f"https://{name}.{one}.core.windows.net/" for one in ("blob", "file", "queue", "table")
    }
    for one, value in {
        "primaryEndpoints": ends,
        "supportsHttpsTrafficOnly": True,
        "creationTime": "2026-01-01T00:00:00Z",
        "statusOfPrimary": "available",
        "accessTier": "Hot",
        "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow", "ipRules": []},
        "encryption": {"keySource": "Microsoft.Storage"},
    }.items():
        properties.setdefault(one, value)
    item.body.setdefault("sku", {}).setdefault("tier", "Standard")


def _check_storage(
    azure: Azure, resource_id: str, parsed: Parsed, body: Json, old: Item | None
) -> None:
    if old is None:
        answer = azure.places.check_name(parsed.name, own=False)
        if not answer["nameAvailable"]:
            code = (
                "StorageAccountAlreadyTaken"
                if answer["reason"] == "AlreadyExists"
                else "AccountNameInvalid"
            )
            raise ArmError(409 if code.endswith("Taken") else 400, code, answer["message"])
    if not {"sku", "kind"} <= body.keys():
        raise ArmError(400, "MissingRequiredParameter", "sku and kind are required.")
    if old is not None and body["kind"] != old.body["kind"]:
        raise ArmError(400, "PropertyChangeNotAllowed", "The account kind cannot be changed.")


def _identity(azure: Azure, item: Item, before: Json) -> None:
    if not before:
        from tests.cloud.azure.arm_state import TENANT

        principal = azure.principal(item.id)
        item.body["properties"] = {
            "tenantId": TENANT,
            "principalId": principal,
            "clientId": f"c{principal[1:]}",
        }


def _identity_gone(azure: Azure, item: Item) -> None:
    azure.principals.pop(item.body["properties"]["principalId"], None)


def _check_role(
    azure: Azure, resource_id: str, parsed: Parsed, body: Json, old: Item | None
) -> None:
    wanted = body.get("properties", {})
    if not {"roleDefinitionId", "principalId"} <= wanted.keys():
        raise ArmError(
            400, "InvalidRoleAssignment", "roleDefinitionId and principalId are required."
        )
    if not azure.known(wanted["principalId"]):
        raise ArmError(
            400,
            "PrincipalNotFound",
            f"Principal {wanted['principalId'].replace('-', '')} does not exist in the directory "
            "99999999-8888-7777-6666-555555555555. Check that you have the correct principal ID.",
        )

    def what(properties: Json) -> tuple[str, str]:
        return properties["principalId"].lower(), properties["roleDefinitionId"].split("/")[
            -1
        ].lower()

    if old is not None:
        if what(old.body["properties"]) != what(wanted):
            raise ArmError(
                400,
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            )
        return
    for item in azure.items.values():
        if item.type.lower() == "microsoft.authorization/roleassignments":
            other = parse(item.id)
            assert other is not None
            if key(other.scope) == key(parsed.scope) and what(item.body["properties"]) == what(
                wanted
            ):
                raise ArmError(409, "RoleAssignmentExists", "The role assignment already exists.")


def _role(azure: Azure, item: Item, before: Json) -> None:
    parsed = parse(item.id)
    assert parsed is not None
    item.body["properties"] |= {
        "scope": parsed.scope,
        "createdOn": "2026-01-01T00:00:00Z",
        "condition": None,
    }
    item.body["properties"].setdefault("principalType", "ServicePrincipal")
    item.body["properties"].pop("provisioningState", None)


def _network(azure: Azure, item: Item, before: Json) -> None:
    properties = item.body.setdefault("properties", {})
    properties.setdefault("enableDdosProtection", False)
    properties.setdefault("virtualNetworkPeerings", [])
    subnets = properties.get("subnets", [])
    for subnet in subnets:
        subnet["id"] = f"{item.id}/subnets/{subnet['name']}"
        subnet["properties"].setdefault("delegations", [])
        subnet["properties"].setdefault("privateEndpointNetworkPolicies", "Disabled")
        subnet["properties"]["provisioningState"] = "Succeeded"
    item.body["etag"] = f'W/"{azure.made}"'


def _ip(azure: Azure, item: Item, before: Json) -> None:
    item.body["sku"] = {"tier": "Regional", **item.body.get("sku", {})}
    _fill(idleTimeoutInMinutes=4, ipTags=[], ipAddress="20.51.9.7", publicIPAddressVersion="IPv4")(
        azure, item, before
    )


def _check_gateway(
    azure: Azure, resource_id: str, parsed: Parsed, body: Json, old: Item | None
) -> None:
    sku = body.get("properties", {}).get("sku", {}).get("name", "")
    if not sku.endswith("AZ"):
        raise ArmError(
            400,
            "NonAzSkusNotAllowedForVPNGateway",
            f"VPN gateway {resource_id} cannot be created or updated with the given non-AZ SKU. "
            "All "
            "newly created gateways should be of AZ type.",
        )


def _rule_delete(azure: Azure, item: Item, query: dict[str, str]) -> None:
    users = [
        other
        for other in azure.items.values()
        if other.type.lower() == "microsoft.insights/datacollectionruleassociations"
        and key(other.body["properties"].get("dataCollectionRuleId", "")) == key(item.id)
    ]
    if users and query.get("deleteAssociations", "").lower() != "true":
        raise ArmError(
            400, "AssociatedResources", "Data collection rule has associations; delete them first."
        )
    for other in users:
        azure.remove(other)


def _registry(azure: Azure, item: Item, before: Json) -> None:
    item.body["sku"] = {**item.body["sku"], "tier": item.body["sku"]["name"]}
    _fill(loginServer=f"{item.body['name'].lower()}.azurecr.io", publicNetworkAccess="Enabled")(
        azure, item, before
    )


def _check_registry(
    azure: Azure, resource_id: str, parsed: Parsed, body: Json, old: Item | None
) -> None:
    if old is None and parsed.name.lower() in azure.places.taken:
        raise ArmError(
            409,
            "AlreadyInUse",
            f"The registry DNS name {parsed.name}.azurecr.io is already in use.",
        )


def _blob_service(azure: Azure, item: Item, before: Json) -> None:
    _fill(
        cors={"corsRules": []},
        deleteRetentionPolicy={"allowPermanentDelete": False, "enabled": False},
    )(azure, item, before)


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
        fill=_registry,
        check=_check_registry,
    ),
    Kind(
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        shows_state=False,
        lags=True,
        fill=_identity,
        after_delete=_identity_gone,
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
        check=_check_role,
        fill=_role,
    ),
    Kind(
        "Microsoft.Storage/storageAccounts",
        "location",
        25,
        check=_check_storage,
        fill=_storage,
        conflict="StorageAccountOperationInProgress",
    ),
    Kind(
        "Microsoft.Storage/storageAccounts/blobServices",
        tracked=False,
        shows_state=False,
        fill=_blob_service,
    ),
    Kind(
        "Microsoft.Storage/storageAccounts/fileServices",
        tracked=False,
        shows_state=False,
        fill=_blob_service,
    ),
    Kind(
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        tracked=False,
        shows_state=False,
        fill=_fill(publicAccess="None", leaseState="Available", hasLegalHold=False),
    ),
    Kind(
        "Microsoft.Storage/storageAccounts/fileServices/shares",
        tracked=False,
        shows_state=False,
        fill=_fill(enabledProtocols="SMB", accessTier="TransactionOptimized", shareQuota=5120),
    ),
    Kind("Microsoft.Storage/storageAccounts/managementPolicies", tracked=False, shows_state=False),
    Kind(
        "Microsoft.OperationalInsights/workspaces",
        "body",
        15,
        fill=_workspace,
        before_delete=_workspace_delete,
    ),
    Kind("Microsoft.OperationsManagement/solutions", fill=_fill()),
    Kind(
        "Microsoft.Monitor/accounts",
        "async",
        20,
        "location",
        fill=_fill(publicNetworkAccess="Enabled", accountId="0a", metrics={"internalId": "mac_1"}),
    ),
    Kind(
        "Microsoft.Dashboard/grafana",
        "async",
        60,
        "async",
        fill=_fill(endpoint="https://g.example"),
    ),
    Kind("Microsoft.Insights/dataCollectionEndpoints", fill=_fill(immutableId="dce-1")),
    Kind(
        "Microsoft.Insights/dataCollectionRules",
        fill=_fill(immutableId="dcr-1"),
        before_delete=_rule_delete,
    ),
    Kind("Microsoft.Insights/dataCollectionRuleAssociations", tracked=False, fill=_fill()),
    Kind("Microsoft.Insights/diagnosticSettings", tracked=False, shows_state=False),
    Kind("Microsoft.AlertsManagement/prometheusRuleGroups", shows_state=False),
    Kind(
        "Microsoft.Network/virtualNetworks",
        "async",
        5,
        "async",
        fill=_network,
        in_use="InUseSubnetCannotBeDeleted",
        conflict="AnotherOperationInProgress",
    ),
    Kind(
        "Microsoft.Network/virtualNetworks/subnets",
        "async",
        5,
        "async",
        tracked=False,
        fill=_fill(),
        in_use="InUseSubnetCannotBeDeleted",
        conflict="AnotherOperationInProgress",
    ),
    Kind(
        "Microsoft.Network/publicIPAddresses",
        "async",
        5,
        "async",
        fill=_ip,
        in_use="PublicIPAddressCannotBeDeleted",
    ),
    Kind("Microsoft.Network/natGateways", "async", 5, "async", fill=_fill(), holds=True),
    Kind("Microsoft.Network/privateDnsZones", "async", 20, "async", fill=_fill()),
    Kind(
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "async",
        20,
        "async",
        fill=_fill(),
        holds=True,
    ),
    Kind("Microsoft.Network/networkSecurityGroups", "async", 5, "async", fill=_fill()),
    Kind("Microsoft.Network/dnsResolvers", "async", 20, "async", fill=_fill(), holds=True),
    Kind(
        "Microsoft.Network/dnsResolvers/inboundEndpoints",
        "async",
        20,
        "async",
        fill=_fill(),
        holds=True,
    ),
    Kind("Microsoft.Compute/virtualMachineScaleSets"),
    Kind(
        "Microsoft.Network/virtualNetworkGateways",
        "async",
        1800,
        "async",
        holds=True,
        check=_check_gateway,
        fill=_fill(activeActive=False, enableBgp=False),
    ),
    # a virtual machine, for what others have in a group of ours
    Kind("Microsoft.Compute/virtualMachines", "async", 60, "async", holds=True, fill=_fill()),
)
KINDS = {kind.type.lower(): kind for kind in _ALL}
