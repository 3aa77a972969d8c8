"""What the resources say, where it matters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from elastron.cloud.azure.build import ROLES
from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.resource import (
    Later,
    Resource,
    laters,
    look_up,
    resolve,
    with_dependencies,
)
from elastron.cloud.azure.resources import resources
from elastron.errors import ConfigError
from tests.cloud.azure.descriptions import FACTS, SUBSCRIPTION, descriptions, everything

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HOME = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/mrrecon-rg"


def by_key(aks: Aks) -> dict[str, Resource]:
    return {resource.key: resource for resource in resources(aks, FACTS)}


def properties(aks: Aks, key: str) -> dict[str, Any]:
    return by_key(aks)[key].body["properties"]


@few
@given(descriptions)
def test_keys_and_ids_are_each_ones_own_and_everything_comes_after_what_it_needs(aks):
    wanted = resources(aks, FACTS)
    assert len({resource.key for resource in wanted}) == len(wanted)
    assert len({resource.id.lower() for resource in wanted}) == len(wanted)
    done: set[str] = set()
    for resource in wanted:
        assert set(resource.depends_on) <= done
        assert {later.key for later in laters(resource.body)} <= set(resource.depends_on)
        done.add(resource.key)
    json.dumps(resolve({r.key: r.id for r in wanted}, {}))


@few
@given(descriptions)
def test_whatever_can_carry_tags_is_known_as_ours(aks):
    for resource in resources(aks, FACTS):
        tags = resource.body.get("tags") or resource.body.get("properties", {}).get("tags")
        if resource.location is not None or resource.key.startswith("pool/"):
            assert tags == aks.all_tags
            assert tags["elastron"] == aks.name


@few
@given(descriptions)
def test_no_storage_account_knows_keys_or_strangers(aks):
    accounts = [
        resource
        for resource in resources(aks, FACTS)
        if resource.type == "Microsoft.Storage/storageAccounts"
    ]
    assert accounts
    for account in accounts:
        stated = account.body["properties"]
        assert stated["allowSharedKeyAccess"] is False
        assert stated["allowBlobPublicAccess"] is False
        assert stated["minimumTlsVersion"] == "TLS1_2"
        https = account.body["kind"] != "FileStorage"  # NFS
        assert stated["supportsHttpsTrafficOnly"] is https
        if aks.storage.reach == "nodes":
            assert stated["networkAcls"]["defaultAction"] == "Deny"
            (rule,) = stated["networkAcls"]["virtualNetworkRules"]
            assert rule["id"].lower().endswith(("/subnets/nodes", "/subnets/mr"))


def test_ids_are_spelled_as_azure_documents_them():
    found = by_key(everything())
    assert found["group"].id == HOME
    assert found["pool/gpu"].id == (
        f"{HOME}/providers/Microsoft.ContainerService/managedClusters/mrrecon/agentPools/gpu"
    )
    assert found["storage/blobs/archive"].id == (
        f"{HOME}/providers/Microsoft.Storage/storageAccounts/mrreconsa/blobServices/default"
        "/containers/archive"
    )
    role = found["role/registry-pull"]
    assert role.id == (
        f"{HOME}/providers/Microsoft.ContainerRegistry/registries/mrreconcr/providers"
        f"/Microsoft.Authorization/roleAssignments/{role.name}"
    )


def test_names_of_roles_stay_the_same():
    first, second = by_key(everything()), by_key(everything(tier="Free"))
    names = [resource.name for key, resource in first.items() if key.startswith("role/")]
    assert names == [r.name for key, r in second.items() if key.startswith("role/")]
    assert len(set(names)) == len(names)


def test_gpus_get_the_originals_taint_and_a_driver():
    stated = properties(everything(), "pool/gpu")
    assert stated["vmSize"] == "Standard_NC4as_T4_v3"
    assert "sku=gpu:NoSchedule" in stated["nodeTaints"]
    assert stated["gpuProfile"] == {"driver": "Install"}
    assert properties(everything(), "pool/operator")["gpuProfile"] == {"driver": "None"}
    assert "gpuProfile" not in properties(everything(), "pool/userpool")


def test_spot_machines_are_told_as_azure_answers_them():
    stated = properties(everything(), "pool/gpu")
    assert stated["scaleSetPriority"] == "Spot"
    assert stated["spotMaxPrice"] == -1
    assert stated["nodeLabels"] == {"kubernetes.azure.com/scalesetpriority": "spot"}
    assert "upgradeSettings" not in stated  # Azure takes none for spot pools


def test_pools_grow_and_shrink_and_wait_for_scans():
    stated = properties(everything(), "pool/userpool")
    assert (stated["minCount"], stated["maxCount"], stated["enableAutoScaling"]) == (0, 20, True)
    assert stated["upgradeSettings"]["drainTimeoutInMinutes"] >= 60
    assert stated["mode"] == "User"
    (system,) = properties(everything(), "cluster")["agentPoolProfiles"]
    assert (system["name"], system["minCount"], system["maxCount"]) == ("system", 1, 3)
    assert system["mode"] == "System"
    assert system["availabilityZones"] == ["1", "2", "3"]
    assert (system["osDiskType"], system["osDiskSizeGB"]) == ("Ephemeral", 100)


def test_pods_prove_who_they_are_without_passwords():
    found = by_key(everything(fleet={"release": "mr", "namespace": "imaging"}))
    cluster = found["cluster"].body["properties"]
    assert cluster["oidcIssuerProfile"] == {"enabled": True}
    assert cluster["securityProfile"]["workloadIdentity"] == {"enabled": True}
    credential = found["identity/storage/federation"].body["properties"]
    assert credential["subject"] == "system:serviceaccount:imaging:mr-gadgetron-storage"
    assert credential["issuer"] == Later("cluster", "properties.oidcIssuerProfile.issuerURL")
    assert credential["audiences"] == ["api://AzureADTokenExchange"]


@pytest.mark.parametrize(
    ("share", "roles"),
    [
        ("smb", {"role/shares-make", "role/shares-mount"}),
        ("nfs", {"role/shares-make"}),
        ("none", set()),
    ],
)
def test_shares_are_made_by_the_cluster_and_mounted_by_its_nodes(share, roles):
    found = by_key(make_aks({"name": "mrrecon", "storage": {"share": share}}))
    assert {key for key in found if key.startswith("role/shares")} == roles
    assert ("shares" in found) is (share == "nfs")
    account = found["storage"].body["properties"]["azureFilesIdentityBasedAuthentication"]
    assert account["smbOAuthSettings"]["isSmbOAuthEnabled"] is (share == "smb")
    if "role/shares-mount" in roles:
        mount = found["role/shares-mount"].body["properties"]
        assert mount["roleDefinitionId"].endswith(ROLES["Storage File Data SMB MI Admin"])
        assert "kubeletidentity" in mount["principalId"].path


def test_nodes_that_join_a_network_that_exists():
    subnet = (
        f"/subscriptions/{SUBSCRIPTION}/resourceGroups/hospital/providers"
        "/Microsoft.Network/virtualNetworks/main/subnets/mr"
    )
    found = by_key(make_aks({"name": "mrrecon", "network": {"subnet": subnet}}))
    assert "network" not in found
    assert found["role/cluster-network"].scope_id == subnet
    (system,) = found["cluster"].body["properties"]["agentPoolProfiles"]
    assert system["vnetSubnetID"] == subnet


def test_a_private_cluster_and_ranges():
    private = properties(make_aks({"name": "x", "network": {"private_cluster": True}}), "cluster")
    assert private["apiServerAccessProfile"] == {"enablePrivateCluster": True}
    ranges = properties(everything(), "cluster")["apiServerAccessProfile"]["authorizedIPRanges"]
    assert ranges == ["198.51.100.0/24"]


def test_people_log_in_as_themselves_where_that_is_wanted():
    found = by_key(everything())
    cluster = found["cluster"].body["properties"]
    assert cluster["disableLocalAccounts"] is True
    assert cluster["aadProfile"]["enableAzureRBAC"] is True
    admin = found["role/cluster-admin"].body["properties"]
    assert admin["principalId"] == FACTS.user_object_id
    assert admin["principalType"] == "User"
    assert "role/cluster-admin" not in by_key(everything(access="certificate"))


@pytest.mark.parametrize(
    ("monitoring", "keys"),
    [
        ({}, {"logs", "logs/rule", "logs/link"}),
        ({"logs": False}, set()),
        (
            {"logs": False, "metrics": "managed"},
            {"metrics", "metrics/endpoint", "metrics/rule", "metrics/link"},
        ),
    ],
)
def test_logs_and_metrics_go_where_they_are_wanted(monitoring, keys):
    found = by_key(make_aks({"name": "mrrecon", "monitoring": monitoring}))
    assert {key for key in found if key.startswith(("logs", "metrics"))} == keys
    cluster = found["cluster"].body["properties"]
    assert cluster["addonProfiles"]["omsagent"]["enabled"] is ("logs" in keys)
    assert cluster["azureMonitorProfile"]["metrics"]["enabled"] is ("metrics" in keys)
    for key in keys:
        if key.endswith("/link"):
            assert found[key].scope_id == found["cluster"].id
            rule = found[key].body["properties"]["dataCollectionRuleId"]
            assert rule == found[key.replace("link", "rule")].id


def test_upgrades_happen_in_their_window_only():
    aks = everything(upgrades={"kubernetes": "none", "day": "Saturday", "start": "22:00"})
    windows = {key for key in by_key(aks) if key.startswith("window/")}
    assert windows == {"window/aksManagedNodeOSUpgradeSchedule"}
    window = properties(aks, windows.pop())["maintenanceWindow"]
    assert window["schedule"] == {"weekly": {"intervalWeeks": 1, "dayOfWeek": "Saturday"}}
    assert (window["startTime"], window["durationHours"]) == ("22:00", 4)
    profile = properties(aks, "cluster")["autoUpgradeProfile"]
    assert profile == {"upgradeChannel": "none", "nodeOSUpgradeChannel": "NodeImage"}


@pytest.mark.parametrize(
    ("values", "keda"),
    [
        ({}, False),
        ({"fleet": {"autoscaler": "keda"}}, True),
        ({"monitoring": {"metrics": "managed"}}, True),
        ({"monitoring": {"metrics": "none"}, "fleet": {"autoscaler": "none"}}, False),
    ],
)
def test_keda_is_brought_where_it_scales(values, keda):
    stated = properties(make_aks({"name": "mrrecon", **values}), "cluster")
    assert stated["workloadAutoScalerProfile"] == {"keda": {"enabled": keda}}


def test_values_are_put_in_once_they_are_known():
    body = {"a": [Later("x", "properties.p")], "b": Later("x", before="<", after=">"), "c": 1}
    answers = {"x": {"id": "/x", "properties": {"p": "v"}}}
    assert resolve(body, answers) == {"a": ["v"], "b": "</x>", "c": 1}
    with pytest.raises(ConfigError, match=r"properties\.p of x yet; run the command again"):
        resolve(body, {"x": {"id": "/x"}})
    assert look_up({"a": {"b": 0}}, "a.b") == 0
    assert look_up({"a": "text"}, "a.b") is None
    assert look_up(None, "a") is None


def test_what_refers_to_something_later_is_a_mistake():
    one = Resource("one", "A/b", "one", "2025-01-01", "/one", {"x": Later("two")})
    with pytest.raises(ValueError, match="one comes before two"):
        with_dependencies([one])
