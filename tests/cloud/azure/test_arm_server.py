"""The stand-in against Azure's own clients: what they take for Azure, we may test against."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient

from tests.cloud.azure.arm_clock import FastClock
from tests.cloud.azure.arm_door import Door, Fault
from tests.cloud.azure.arm_server import wired
from tests.cloud.azure.arm_state import SUBSCRIPTION, Azure
from tests.cloud.azure.conftest import Credential

CLUSTER: dict[str, Any] = {
    "location": "westus2",
    "identity": {"type": "SystemAssigned"},
    "properties": {
        "dnsPrefix": "scans",
        "agentPoolProfiles": [
            {"name": "system", "mode": "System", "vmSize": "Standard_D4s_v5", "count": 1}
        ],
    },
}


@pytest.fixture
def azure() -> Azure:
    return Azure(clock=FastClock(), pace=0.2)


def client(kind: type, door: Door) -> Any:
    door.retry_after = None
    transport = RequestsTransport(session=wired(door), session_owner=False)
    return kind(Credential(), SUBSCRIPTION, transport=transport, polling_interval=0.02)


@pytest.fixture
def groups(door: Door) -> Any:
    groups = client(ResourceManagementClient, door).resource_groups
    groups.create_or_update("scans-rg", {"location": "westus2"})
    return groups


def test_a_cluster_and_a_pool(door: Door, groups: Any) -> None:
    azure = client(ContainerServiceClient, door)
    clusters = azure.managed_clusters
    made = clusters.begin_create_or_update("scans-rg", "scans", CLUSTER).result(120)
    assert made.provisioning_state == "Succeeded"
    assert made.identity_profile["kubeletidentity"].object_id
    body = {"properties": {"vmSize": "Standard_D8s_v5", "count": 2, "mode": "User"}}
    pool = azure.agent_pools.begin_create_or_update("scans-rg", "scans", "more", body).result(120)
    assert pool.count == 2
    assert {one.name for one in azure.agent_pools.list("scans-rg", "scans")} == {"system", "more"}
    (credentials,) = clusters.list_cluster_user_credentials("scans-rg", "scans").kubeconfigs
    assert b"current-context: scans" in bytes(credentials.value)
    azure.agent_pools.begin_delete("scans-rg", "scans", "more").result(120)
    clusters.begin_delete("scans-rg", "scans").result(120)
    with pytest.raises(ResourceNotFoundError):
        clusters.get("scans-rg", "scans")
    groups.begin_delete("scans-rg").result(120)
    assert door.azure.named() == []


def test_an_account_by_location(door: Door, groups: Any) -> None:
    accounts = client(StorageManagementClient, door).storage_accounts
    body = {"location": "westus2", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    made = accounts.begin_create("scans-rg", "scanssa", body).result(120)
    assert made.provisioning_state == "Succeeded"
    assert made.primary_endpoints.blob == "https://scanssa.blob.core.windows.net/"
    accounts.delete("scans-rg", "scanssa")
    assert not accounts.check_name_availability({"name": "contoso", "type": "x"}).name_available


def test_a_network_and_its_pages(door: Door, groups: Any) -> None:
    networks = client(NetworkManagementClient, door).virtual_networks
    door.page = 2
    for name in ("a", "b", "c", "d", "e"):
        body = {"location": "westus2", "properties": {"subnets": []}}
        networks.begin_create_or_update("scans-rg", name, body).result(120)
    assert [one.name for one in networks.list("scans-rg")] == ["a", "b", "c", "d", "e"]


def test_failures_as_they_read_them(door: Door, groups: Any, azure: Azure) -> None:
    clusters = client(ContainerServiceClient, door).managed_clusters
    azure.fail["microsoft.containerservice/managedclusters"] = {
        "code": "SkuNotAvailable",
        "message": "The requested size is not available.",
    }
    with pytest.raises(HttpResponseError, match="SkuNotAvailable"):
        clusters.begin_create_or_update("scans-rg", "scans", CLUSTER).result(120)
    with pytest.raises(HttpResponseError) as caught:
        clusters.begin_create_or_update("nowhere", "scans", CLUSTER)
    assert caught.value.error.code == "ResourceGroupNotFound"
    throttled = iter([Fault(429, "TooManyRequests", headers={"Retry-After": "0"})])
    door.fault = lambda seen: next(throttled, None)
    assert clusters.get("scans-rg", "scans").provisioning_state == "Failed"
