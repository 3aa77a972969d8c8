"""Descriptions of clusters, and an Azure that only remembers: for tests of what is pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.plan import Kind, Plan
from elastron.cloud.azure.resource import Facts, Resource, arm_guid, resolve

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
FACTS = Facts(
    subscription_id=SUBSCRIPTION,
    tenant_id="99999999-2222-3333-4444-555555555555",
    kubernetes_version="1.34",
    user_object_id="77777777-2222-3333-4444-555555555555",
)
EVERYTHING: dict[str, Any] = {
    "name": "mrrecon",
    "location": "West Europe",
    "subscription": SUBSCRIPTION,
    "tags": {"cost centre": "4711"},
    "kubernetes_version": "1.34",
    "tier": "Standard",
    "access": "entra",
    "system_pool": {"zones": [1, 2, 3], "os_disk": "ephemeral", "os_disk_gb": 100},
    "pools": {
        "userpool": {"max": 20, "labels": {"site": "north"}, "taints": ["scans=only:NoSchedule"]},
        "gpu": {"vm_size": "Standard_NC4as_T4_v3", "max": 4, "spot": True},
        "operator": {"vm_size": "Standard_NC24ads_A100_v4", "gpu_driver": "operator"},
    },
    "network": {"authorized_ranges": ["198.51.100.0/24"], "internal_load_balancer": True},
    "storage": {"redundancy": "ZRS", "containers": ["storage", "archive"], "share": "nfs"},
    "registry": {"tier": "Premium"},
    "monitoring": {"metrics": "managed", "daily_cap_gb": 5},
    "vpn": {"root_certificates": {"first": "TUlJQkRlZkdoaQ=="}, "revoked_thumbprints": {}},
    "fleet": {"autoscaler": "keda"},
}


def everything(**changed: Any) -> Aks:
    """A description with nearly all that there is."""
    return make_aks({**EVERYTHING, **changed})


pool_names = st.from_regex(r"[a-rt-z][a-z0-9]{0,5}", fullmatch=True)
sizes = st.sampled_from(
    ["Standard_D8s_v5", "Standard_F8s_v2", "Standard_NC4as_T4_v3", "Standard_NC24ads_A100_v4"]
)
labels = st.dictionaries(
    st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9]{0,8}", fullmatch=True),
    max_size=3,
)
taints = st.lists(
    st.from_regex(r"[a-z]{1,5}=[a-z]{0,5}:(NoSchedule|NoExecute)", fullmatch=True), max_size=2
)
nodes = {
    "zones": st.lists(st.sampled_from([1, 2, 3]), unique=True),
    "os_disk": st.sampled_from(["managed", "ephemeral"]),
    "os_disk_gb": st.none() | st.integers(30, 2048),
}
pools = st.fixed_dictionaries(
    {"min": st.integers(0, 5), "max": st.integers(5, 50), "vm_size": sizes},
    optional={
        **nodes,
        "gpu_driver": st.sampled_from(["aks", "operator"]),
        "spot": st.booleans(),
        "labels": labels,
        "taints": taints,
    },
)
descriptions = st.fixed_dictionaries(
    {"name": st.from_regex(r"[a-z]{3}[a-zA-Z0-9_-]{0,10}[a-z0-9]", fullmatch=True)},
    optional={
        "location": st.sampled_from(["westeurope", "West US 2", "uksouth"]),
        "resource_group": st.from_regex(r"[a-z][\w.()-]{0,20}[a-z]", fullmatch=True).filter(
            str.isascii
        ),
        "tags": st.dictionaries(st.sampled_from(["Owner", "cost"]), st.text("abc DE", max_size=9)),
        "kubernetes_version": st.sampled_from([None, "1.34", "1.35", "1.34.2"]),
        "tier": st.sampled_from(["Free", "Standard"]),
        "access": st.sampled_from(["certificate", "entra"]),
        "system_pool": st.fixed_dictionaries({}, optional=nodes),
        "pools": st.dictionaries(pool_names, pools, max_size=3),
        "upgrades": st.fixed_dictionaries(
            {},
            optional={
                "kubernetes": st.sampled_from(["none", "patch", "stable"]),
                "node_image": st.booleans(),
                "day": st.sampled_from(["Monday", "Sunday"]),
            },
        ),
        "network": st.fixed_dictionaries(
            {},
            optional={
                "private_cluster": st.booleans(),
                "internal_load_balancer": st.booleans(),
                "subnet": st.none()
                | st.just(
                    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/hospital/providers"
                    "/Microsoft.Network/virtualNetworks/main/subnets/mr"
                ),
            },
        ),
        "storage": st.fixed_dictionaries(
            {},
            optional={
                "redundancy": st.sampled_from(["LRS", "ZRS", "GRS"]),
                "share": st.sampled_from(["smb", "nfs", "none"]),
                "reach": st.sampled_from(["nodes", "all"]),
                "containers": st.lists(
                    st.sampled_from(["storage", "archive", "raw-data"]), min_size=1, unique=True
                ),
                "delete_retention_days": st.integers(0, 365),
            },
        ),
        "registry": st.none() | st.just({}) | st.just({"tier": "Premium"}),
        "monitoring": st.fixed_dictionaries(
            {},
            optional={
                "logs": st.booleans(),
                "metrics": st.sampled_from(["cluster", "managed", "none"]),
                "daily_cap_gb": st.none() | st.floats(1, 100),
            },
        ),
        "fleet": st.fixed_dictionaries(
            {}, optional={"autoscaler": st.sampled_from([None, "keda", "none"])}
        ),
        "vpn": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "sku": st.sampled_from(["VpnGw1AZ", "VpnGw5AZ"]),
                "zones": st.sampled_from([[], [1, 2, 3]]),
                "protocols": st.sampled_from([["OpenVPN"], ["IkeV2"], ["OpenVPN", "IkeV2"]]),
            },
        ),
    },
).map(lambda values: make_aks(_without_vpn_in_others_network(values)))


def _without_vpn_in_others_network(values: dict[str, Any]) -> dict[str, Any]:
    joins = values.get("network", {}).get("subnet") is not None
    return {**values, "vpn": None} if joins else values


def _own(resource: Resource) -> dict[str, Any]:
    """What only Azure can say of a resource."""
    match resource.type:
        case "Microsoft.ManagedIdentity/userAssignedIdentities":
            return {"principalId": arm_guid(resource.key, "p"), "clientId": arm_guid(resource.key)}
        case "Microsoft.ContainerService/managedClusters":
            return {
                "fqdn": "mrrecon.hcp.westeurope.azmk8s.io",
                "identityProfile": {"kubeletidentity": {"objectId": arm_guid("kubelet")}},
                "oidcIssuerProfile": {"issuerURL": "https://oidc.example/tenant/"},
            }
    return {"anything": [1]}


class Memory:
    """What Azure would answer: what was put, and what it adds of its own."""

    def __init__(self) -> None:
        self.by_key: dict[str, dict[str, Any]] = {}

    def put(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Make a resource, or replace it."""
        sent = json.loads(json.dumps(resolve(body, self.by_key)))
        answer = _as_azure_says(sent)
        answer.update(id=resource.id.replace("resourceGroups", "resourcegroups"))
        answer.update(name=resource.name.rpartition("/")[2], type=resource.type, etag='W/"1"')
        properties = answer.setdefault("properties", {})
        for key, value in {**_own(resource), "provisioningState": "Succeeded"}.items():
            old = properties.get(key)
            properties[key] = {**old, **value} if isinstance(old, dict) else value
        self.by_key[resource.key] = answer

    def apply(self, plan: Plan) -> None:
        """Do what a plan says."""
        for change in plan.changes:
            if change.kind in {Kind.CREATE, Kind.UPDATE, Kind.REPLACE}:
                assert change.body is not None
                self.put(change.resource, change.body)
            elif change.kind is Kind.DELETE:
                self.by_key.pop(change.resource.key, None)

    def found(self, wanted: Sequence[Resource]) -> dict[str, dict[str, Any] | None]:
        """What a GET of each answers."""
        return {resource.key: copy.deepcopy(self.by_key.get(resource.key)) for resource in wanted}


_ENUMS = {"Microsoft.Storage", "cilium", "Standard", "Deny", "Base"}


def _as_azure_says(value: Any) -> Any:
    """Leave out what is false or empty, spell ids and words in other ways, add defaults."""
    if isinstance(value, dict):
        return {
            key: _as_azure_says(item)
            for key, item in value.items()
            if item is not None and item is not False and item != []
        }
    if isinstance(value, list):
        said = [_as_azure_says(item) for item in value]
        return [{**item, "etag": "x"} if isinstance(item, dict) else item for item in said]
    if isinstance(value, str) and value.startswith("/subscriptions/"):
        return value.replace("/virtualNetworks/", "/virtualnetworks/")
    return value.upper() if isinstance(value, str) and value in _ENUMS else value
