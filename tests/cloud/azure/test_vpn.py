"""What a VPN adds to a cluster on Azure."""

from __future__ import annotations

import ipaddress

import pytest

from elastron.cloud.azure.description import make_aks
from elastron.cloud.azure.resource import Facts, Later, Resource, laters
from elastron.cloud.azure.resources import resources
from elastron.cloud.azure.vpn import ADDRESS, GATEWAY, gateway_name, vpn_resources
from elastron.errors import ConfigError

FACTS = Facts(
    subscription_id="00000000-0000-0000-0000-000000000001",
    tenant_id="00000000-0000-0000-0000-000000000002",
    kubernetes_version="1.34",
)


def _of(**vpn) -> dict[str, Resource]:
    aks = make_aks({"name": "mr", "location": "westeurope", "vpn": vpn})
    return {each.key: each for each in vpn_resources(aks, FACTS)}


def test_none_without_vpn():
    assert vpn_resources(make_aks({"name": "mr"}), FACTS) == []


def test_a_gateway_of_todays_kind():
    made = _of()
    address, gateway = made[ADDRESS], made[GATEWAY]
    assert address.body["sku"] == {"name": "Standard", "tier": "Regional"}
    assert address.body["properties"]["publicIPAllocationMethod"] == "Static"
    assert address.body["zones"] == ["1", "2", "3"]
    properties = gateway.body["properties"]
    assert properties["sku"] == {"name": "VpnGw1AZ", "tier": "VpnGw1AZ"}
    assert (properties["gatewayType"], properties["vpnType"]) == ("Vpn", "RouteBased")
    clients = properties["vpnClientConfiguration"]
    assert clients["vpnAuthenticationTypes"] == ["Certificate"]
    assert clients["vpnClientProtocols"] == ["OpenVPN", "IkeV2"]
    assert clients["vpnClientAddressPool"] == {"addressPrefixes": ["172.16.201.0/24"]}


def test_it_is_in_the_subnet_made_for_it():
    aks = make_aks({"name": "mr", "vpn": {}})
    made = {each.key: each for each in resources(aks, FACTS)}
    (place,) = made[GATEWAY].body["properties"]["ipConfigurations"]
    assert place["properties"]["subnet"]["id"] == f"{made['network'].id}/subnets/GatewaySubnet"
    assert place["properties"]["publicIPAddress"]["id"] == Later(ADDRESS)
    subnets = made["network"].body["properties"]["subnets"]
    assert [each["name"] for each in subnets] == ["nodes", "GatewaySubnet"]
    order = list(made)
    assert order.index("network") < order.index(GATEWAY)
    assert order.index(ADDRESS) < order.index(GATEWAY)
    assert {"network", ADDRESS} <= set(made[GATEWAY].depends_on)
    assert {later.key for later in laters(made[GATEWAY].body)} == {ADDRESS}


def test_certificates_go_in_and_others_stay():
    gateway = _of(root_certificates={"root-1": "TUlJ"}, revoked_thumbprints={"a": "0A"})[GATEWAY]
    clients = gateway.body["properties"]["vpnClientConfiguration"]
    assert clients["vpnClientRootCertificates"] == [
        {"name": "root-1", "properties": {"publicCertData": "TUlJ"}}
    ]
    assert clients["vpnClientRevokedCertificates"] == [
        {"name": "a", "properties": {"thumbprint": "0A"}}
    ]
    assert len(gateway.open_lists) == 2


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_the_generation_fits_the_size(number):
    gateway = _of(sku=f"VpnGw{number}AZ")[GATEWAY]
    wanted = "Generation2" if number > 3 else "Generation1"
    assert gateway.body["properties"]["vpnGatewayGeneration"] == wanted


def test_a_location_without_zones():
    assert "zones" not in _of(zones=[])[ADDRESS].body


def test_clients_are_apart_from_everything():
    for clients in ("10.224.7.0/24", "10.0.0.0/24", "10.244.0.0/16"):
        with pytest.raises(ConfigError, match="overlap"):
            _of(clients_range=clients)
    assert ipaddress.ip_network("172.16.201.0/24").is_private


@pytest.mark.parametrize("sku", ["Basic", "VpnGw1", "VpnGw6AZ", "Standard"])
def test_kinds_that_can_no_longer_be_made(sku):
    with pytest.raises(ConfigError, match="sku"):
        _of(sku=sku)


def test_long_names_stay_within_limits():
    aks = make_aks({"name": "m" * 63, "vpn": {}, "storage": {"account": "abc", "share": "none"}})
    assert len(gateway_name(aks)) <= 80
    assert all(len(each.name) <= 80 for each in vpn_resources(aks, FACTS))
