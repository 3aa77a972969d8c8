"""Azure Kubernetes Service: clusters and their pools, as the service answers them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.cloud.azure.arm_errors import ArmError
from tests.cloud.azure.arm_ids import Parsed, key

if TYPE_CHECKING:
    from tests.cloud.azure.arm_state import Azure, Item

Json = dict[str, Any]
POOLS = "Microsoft.ContainerService/managedClusters/agentPools"


def _refuse(code: str, message: str, status: int = 400) -> ArmError:
    return ArmError(status, code, message, flat=True)


def _default(body: Json, values: Json) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _default(body.setdefault(name, {}), value)
        else:
            body.setdefault(name, value)


def _cores(azure: Azure, pools: list[Json], location: str) -> None:
    """The quota: what is there, and the least of each new pool."""
    need: dict[str, int] = {}
    for pool in pools:
        size = azure.places.size(pool["vmSize"], location)
        nodes = pool.get("minCount") if pool.get("enableAutoScaling") else pool.get("count", 1)
        need[size.family] = need.get(size.family, 0) + size.cores * int(nodes or 0)
    for name, cores in [*need.items(), ("cores", sum(need.values()))]:
        left = azure.places.cores_max.get(name, 100) - azure.places.cores_used.get(name, 0)
        if cores > left:
            raise _refuse(
                "ErrCode_InsufficientVCPUQuota",
                f"Insufficient vcpu quota requested {cores}, remaining {left} for family {name} "
                "for "
                f"region {location}. If you want to increase the quota, please follow this "
                "instruction: "
                "https://aka.ms/aks/insufficient-quota.",
            )


def _check_pool_body(name: str, pool: Json, old: Json | None) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", name):
        raise _refuse(
            "InvalidParameter",
            f"The value of parameter agentPoolProfile.name is invalid. Agent pool name {name} "
            "must be "
            "1-12 lower case letters and digits, beginning with a letter.",
        )
    if pool.get("enableAutoScaling"):
        low, high = pool.get("minCount"), pool.get("maxCount")
        least = 1 if pool.get("mode", "User") == "System" else 0
        if low is None or high is None or not least <= low <= high <= 1000:
            raise _refuse(
                "InvalidParameter", f"Pool {name}: minCount {low}, maxCount {high} are invalid."
            )
        if "count" in pool and not low <= pool["count"] <= high:
            raise _refuse(
                "InvalidParameter", f"Pool {name}: count {pool['count']} is not within its range."
            )
    elif "minCount" in pool or "maxCount" in pool:
        raise _refuse(
            "InvalidParameter", f"Pool {name}: minCount and maxCount need enableAutoScaling."
        )
    for one in (
        "vmSize",
        "osDiskType",
        "osDiskSizeGB",
        "availabilityZones",
        "scaleSetPriority",
        "vnetSubnetID",
    ):
        if old is not None and one in pool and _norm(pool[one]) != _norm(old.get(one)):
            raise _refuse(
                "PropertyChangeNotAllowed",
                f"Changing property 'properties.{one}' is not allowed.",
            )


def _norm(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _pool_defaults(azure: Azure, pool: Json, version: str) -> None:
    _default(
        pool,
        {
            "count": pool.get("minCount", 1),
            "mode": "User",
            "maxPods": 110,
            "osType": "Linux",
            "osSKU": "Ubuntu",
            "type": "VirtualMachineScaleSets",
            "scaleSetPriority": "Regular",
            "osDiskSizeGB": 128,
            "osDiskType": "Managed",
            "kubeletDiskType": "OS",
            "enableAutoScaling": False,
            "enableNodePublicIP": False,
            "orchestratorVersion": version,
            "nodeImageVersion": "AKSUbuntu-2204gen2containerd-202601.01.0",
            "upgradeSettings": {"maxSurge": "10%"},
            "powerState": {"code": "Running"},
            "provisioningState": "Succeeded",
        },
    )
    pool["currentOrchestratorVersion"] = azure.places.patch_of(pool["orchestratorVersion"])


def check_cluster(
    azure: Azure, resource_id: str, parsed: Parsed, body: Json, old: Item | None
) -> None:
    properties = body.get("properties", {})
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", parsed.name):
        raise _refuse("InvalidResourceName", f"The cluster name {parsed.name} is invalid.")
    version = azure.places.patch_of(
        properties.get("kubernetesVersion") or (old and old.body["properties"]["kubernetesVersion"])
    )
    pools = properties.get("agentPoolProfiles", [])
    found: dict[str, Json] = {}
    if old is None:
        if not any(pool.get("mode") == "System" for pool in pools):
            raise _refuse("InvalidParameter", "At least one agent pool must be of mode System.")
        if "identity" not in body and "servicePrincipalProfile" not in properties:
            raise _refuse("InvalidParameter", "The cluster needs an identity.")
        if not properties.get("dnsPrefix") and not properties.get("fqdnSubdomain"):
            raise _refuse("MissingDnsPrefix", "One of dnsPrefix or fqdnSubdomain is required.")
    else:
        before = old.body["properties"]
        now = [int(part) for part in version.split(".")]
        then = [int(part) for part in before["currentKubernetesVersion"].split(".")]
        if now < then:
            raise _refuse("OperationNotAllowed", "Downgrading Kubernetes is not allowed.")
        if now[1] > then[1] + 1:
            raise _refuse(
                "OperationNotAllowed", "Upgrading across two minor versions is not allowed."
            )
        for name in ("dnsPrefix", "nodeResourceGroup"):
            if name in properties and properties[name] != before.get(name):
                raise _refuse(
                    "PropertyChangeNotAllowed", f"Changing property '{name}' is not allowed."
                )
        prefix = key(resource_id) + "/agentpools/"
        found = {
            i.body["name"]: i.body["properties"]
            for k, i in azure.items.items()
            if k.startswith(prefix)
        }
    for pool in pools:
        _check_pool_body(pool["name"], pool, found.get(pool["name"]))
    location = str(body.get("location") or (old and old.body["location"])).replace(" ", "").lower()
    _cores(azure, [pool for pool in pools if pool["name"] not in found], location)


def fill_cluster(azure: Azure, item: Item, before: Json) -> None:
    from tests.cloud.azure.arm_state import SUBSCRIPTION, TENANT, Item

    name, properties = item.body["name"], item.body["properties"]
    group = item.id.split("/")[4]
    location = item.body["location"].replace(" ", "").lower()
    version = properties.setdefault("kubernetesVersion", azure.places.default)
    properties["currentKubernetesVersion"] = azure.places.patch_of(version)
    _default(
        properties,
        {
            "fqdn": f"{properties.get('dnsPrefix', name)}-1a2b3c.hcp.{location}.azmk8s.io",
            "nodeResourceGroup": f"MC_{group}_{name}_{location}",
            "maxAgentPools": 100,
            "enableRBAC": True,
            "disableLocalAccounts": False,
            "powerState": {"code": "Running"},
            "supportPlan": "KubernetesOfficial",
            "securityProfile": {},
            "storageProfile": {
                "diskCSIDriver": {"enabled": True},
                "fileCSIDriver": {"enabled": True},
                "snapshotController": {"enabled": True},
            },
            "networkProfile": {
                "networkPlugin": "azure",
                "loadBalancerSku": "Standard",
                "outboundType": "loadBalancer",
                "serviceCidr": "10.0.0.0/16",
                "dnsServiceIP": "10.0.0.10",
                "ipFamilies": ["IPv4"],
                "podCidr": "10.244.0.0/16",
            },
            "autoUpgradeProfile": {"nodeOSUpgradeChannel": "NodeImage"},
        },
    )
    item.body.setdefault("sku", {"name": "Base", "tier": "Free"})
    if properties.get("oidcIssuerProfile", {}).get("enabled"):
        properties["oidcIssuerProfile"].setdefault(
            "issuerURL",
            f"https://{location}.oic.prod-aks.azure.com/{TENANT}/{azure.principal(item.id)}/",
        )
    for addon in properties.get("addonProfiles", {}).values():
        if addon.get("enabled"):  # this service writes ids in capitals of its own
            config = addon.get("config") or {}
            for one, value in config.items():
                if str(value).startswith("/subscriptions/"):
                    config[one] = value.replace("/resourceGroups/", "/resourcegroups/")
    nodes = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{properties['nodeResourceGroup']}"
    if not before:
        kubelet, own = azure.principal(f"{item.id} kubelet"), azure.principal(item.id)
        properties["identityProfile"] = {
            "kubeletidentity": {
                "objectId": kubelet,
                "clientId": f"c{kubelet[1:]}",
                "resourceId": f"{nodes}/providers/Microsoft.ManagedIdentity/"
                f"userAssignedIdentities/{name}-agentpool",
            }
        }
        agent = properties["identityProfile"]["kubeletidentity"]["resourceId"]
        azure.items[key(agent)] = Item(
            agent,
            "Microsoft.ManagedIdentity/userAssignedIdentities",
            {
                "id": agent,
                "name": f"{name}-agentpool",
                "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
                "location": location,
                "properties": {"principalId": kubelet, "clientId": f"c{kubelet[1:]}"},
            },
        )
        if item.body.get("identity", {}).get("type", "").lower() == "systemassigned":
            item.body["identity"] |= {"principalId": own, "tenantId": TENANT}
        azure.items[key(nodes)] = Item(
            nodes,
            "Microsoft.Resources/resourceGroups",
            {
                "id": nodes,
                "name": properties["nodeResourceGroup"],
                "type": "Microsoft.Resources/resourceGroups",
                "location": location,
                "managedBy": item.id,
                "tags": {"aks-managed-cluster-name": name, **item.body.get("tags", {})},
                "properties": {"provisioningState": "Succeeded"},
            },
        )
    # Its machines carry the cluster's tags, in a group that is not ours.
    machines = f"{nodes}/providers/Microsoft.Compute/virtualMachineScaleSets/aks-vmss"
    azure.items[key(machines)] = Item(
        machines,
        "Microsoft.Compute/virtualMachineScaleSets",
        {
            "id": machines,
            "name": "aks-vmss",
            "type": "Microsoft.Compute/virtualMachineScaleSets",
            "location": location,
            "tags": dict(item.body.get("tags", {})),
            "properties": {"provisioningState": "Succeeded"},
        },
    )
    # Pools that the body leaves out stay.
    for pool in properties.pop("agentPoolProfiles", []):
        place = f"{item.id}/agentPools/{pool['name']}"
        old = azure.items.get(key(place))
        given = {one: value for one, value in pool.items() if one != "name"}
        merged = {**(old.body["properties"] if old else {}), **given}
        _pool_defaults(azure, merged, version)
        body = {"id": place, "name": pool["name"], "type": POOLS, "properties": merged}
        azure.items[key(place)] = Item(place, POOLS, body)


def show_cluster(azure: Azure, item: Item, body: Json) -> None:
    pools = [one for one in azure.below(item.id) if one.type == POOLS]
    body["properties"]["agentPoolProfiles"] = [
        {"name": pool.body["name"], **pool.body["properties"]} for pool in pools
    ]


def cluster_gone(azure: Azure, item: Item) -> None:
    from tests.cloud.azure.arm_state import SUBSCRIPTION

    name = item.body["properties"]["nodeResourceGroup"]
    nodes = azure.items.get(key(f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}"))
    if nodes is not None:
        azure.remove(nodes)


def check_pool(
    azure: Azure, resource_id: str, parsed: Parsed, body: Json, old: Item | None
) -> None:
    properties = body.get("properties", {})
    before = old.body["properties"] if old else None
    _check_pool_body(parsed.name, properties, before)
    cluster = azure.find(parsed.parent)
    assert cluster is not None
    if cluster.state == "Failed":
        raise _refuse(
            "OperationNotAllowed",
            "Operation is not allowed: the managed cluster is in Failed state.",
            409,
        )
    if old is None:
        if "vmSize" not in properties:
            raise _refuse("InvalidParameter", "Required parameter vmSize is missing.")
        _cores(azure, [properties], cluster.body["location"].replace(" ", "").lower())


def fill_pool(azure: Azure, item: Item, before: Json) -> None:
    cluster = azure.items[key(item.id.rsplit("/", 2)[0])]
    _pool_defaults(azure, item.body["properties"], cluster.body["properties"]["kubernetesVersion"])


def check_pool_delete(azure: Azure, item: Item, query: dict[str, str]) -> None:
    cluster = azure.items[key(item.id.rsplit("/", 2)[0])]
    others = [
        one.body["properties"]["mode"]
        for one in azure.below(cluster.id)
        if one.type == POOLS and one is not item
    ]
    if item.body["properties"]["mode"] == "System" and "System" not in others:
        raise _refuse("OperationNotAllowed", "There has to be at least one system agent pool.")
