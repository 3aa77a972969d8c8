"""What single services add to their resources, refuse and leave behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.cloud.azure.arm_errors import ArmError
from tests.cloud.azure.arm_ids import Parsed, key, parse

if TYPE_CHECKING:
    from tests.cloud.azure.arm_state import Azure, Item

Json = dict[str, Any]


def fill_with(**added: Any) -> Callable[[Azure, Item, Json], None]:
    """Defaults of the properties, where the body says nothing."""

    def fill(azure: Azure, item: Item, before: Json) -> None:
        properties = item.body.setdefault("properties", {})
        for name, value in added.items():
            properties.setdefault(name, value)
        item.body["etag"] = f'W/"{azure.made}"'

    return fill


def fill_workspace(azure: Azure, item: Item, before: Json) -> None:
    old = azure.deleted_workspaces.pop(key(item.id), None)  # within 14 days: it comes back
    properties = item.body.setdefault("properties", {})
    properties.setdefault("customerId", (old or {}).get("customerId") or azure.principal(item.id))
    properties.setdefault("retentionInDays", 30)
    properties.setdefault("publicNetworkAccessForIngestion", "Enabled")
    properties["workspaceCapping"] = {"dailyQuotaGb": -1.0} | properties.get("workspaceCapping", {})
    # This service answers in small letters.
    sku = properties.get("sku", {"name": "pergb2018"})
    properties["sku"] = {**sku, "name": sku["name"].lower()}


def workspace_delete(azure: Azure, item: Item, query: dict[str, str]) -> None:
    if query.get("force", "").lower() != "true":
        azure.deleted_workspaces[key(item.id)] = dict(item.body["properties"])


def fill_storage(azure: Azure, item: Item, before: Json) -> None:
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


def check_storage(
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


def fill_identity(azure: Azure, item: Item, before: Json) -> None:
    if not before:
        from tests.cloud.azure.arm_state import TENANT

        principal = azure.principal(item.id)
        item.body["properties"] = {
            "tenantId": TENANT,
            "principalId": principal,
            "clientId": f"c{principal[1:]}",
        }


def identity_gone(azure: Azure, item: Item) -> None:
    azure.principals.pop(item.body["properties"]["principalId"], None)


def check_role(
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


def fill_role(azure: Azure, item: Item, before: Json) -> None:
    parsed = parse(item.id)
    assert parsed is not None
    item.body["properties"] |= {
        "scope": parsed.scope,
        "createdOn": "2026-01-01T00:00:00Z",
        "condition": None,
    }
    item.body["properties"].setdefault("principalType", "ServicePrincipal")
    item.body["properties"].pop("provisioningState", None)


def fill_network(azure: Azure, item: Item, before: Json) -> None:
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


def fill_ip(azure: Azure, item: Item, before: Json) -> None:
    item.body["sku"] = {"tier": "Regional", **item.body.get("sku", {})}
    fill_with(
        idleTimeoutInMinutes=4, ipTags=[], ipAddress="20.51.9.7", publicIPAddressVersion="IPv4"
    )(azure, item, before)


def check_gateway(
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


def rule_delete(azure: Azure, item: Item, query: dict[str, str]) -> None:
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


def fill_registry(azure: Azure, item: Item, before: Json) -> None:
    item.body["sku"] = {**item.body["sku"], "tier": item.body["sku"]["name"]}
    fill_with(loginServer=f"{item.body['name'].lower()}.azurecr.io", publicNetworkAccess="Enabled")(
        azure, item, before
    )


def check_registry(
    azure: Azure, resource_id: str, parsed: Parsed, body: Json, old: Item | None
) -> None:
    if old is None and parsed.name.lower() in azure.places.taken:
        raise ArmError(
            409,
            "AlreadyInUse",
            f"The registry DNS name {parsed.name}.azurecr.io is already in use.",
        )


def fill_blob_service(azure: Azure, item: Item, before: Json) -> None:
    fill_with(
        cors={"corsRules": []},
        deleteRetentionPolicy={"allowPermanentDelete": False, "enabled": False},
    )(azure, item, before)
