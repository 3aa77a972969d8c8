"""The VPN's own changes, on a cluster made by whatever description."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

pytest.importorskip("azure.mgmt.core", reason="of the extra `azure`")

from elastron.cloud.azure.description import make_aks
from elastron.cloud.azure.engine import Engine
from elastron.cloud.azure.plan import Kind
from elastron.cloud.azure.resource import Facts
from elastron.cloud.azure.resources import resources
from elastron.cloud.azure.session import Login
from elastron.cloud.azure.vpn_plan import (
    _room,
    as_found,
    carry_out_down,
    gateway_of,
    propose_vpn,
    propose_vpn_down,
)
from elastron.errors import CloudError, ConfigError
from tests.cloud.azure.arm_state import SUBSCRIPTION, TENANT

LOGIN = Login(SUBSCRIPTION, "Imaging", TENANT)
BARE = make_aks({"name": "mr"})


@pytest.fixture
def engine(arm) -> Engine:
    return Engine(arm, LOGIN)


def _make(engine: Engine, **changes) -> None:
    """Group and network of a cluster made by a description."""
    aks = make_aks({"name": "mr", "location": "westeurope"} | changes)
    for each in resources(aks, Facts(SUBSCRIPTION, TENANT, "1.34")):
        if each.key in ("group", "network"):
            engine.arm.put(each.id, each.api_version, each.body, each.key)


def test_place_and_ranges_are_those_that_are_there(engine):
    ranges = {
        "range": "10.50.0.0/16",
        "nodes_range": "10.50.0.0/20",
        "gateway_range": "10.50.99.0/24",
    }
    _make(engine, network=ranges)
    found = as_found(engine, BARE)
    assert found.location == "westeurope"
    assert found.network.range == "10.50.0.0/16"
    assert found.network.nodes_range == "10.50.0.0/20"
    assert ipaddress.IPv4Network(found.network.gateway_range).subnet_of(
        ipaddress.IPv4Network("10.50.0.0/16")
    )
    assert found.vpn is not None


def test_a_gateway_made_by_another_description_stays_as_it_is(engine):
    _make(engine)
    given_vpn = {
        "sku": "VpnGw2AZ",
        "clients_range": "172.20.0.0/24",
        "protocols": ["OpenVPN"],
        "zones": [1],
    }
    described = make_aks({"name": "mr", "vpn": given_vpn})
    engine.carry_out(propose_vpn(engine, as_found(engine, described)))
    found = as_found(engine, BARE)
    assert found.vpn is not None
    assert (found.vpn.sku, found.vpn.clients_range) == ("VpnGw2AZ", "172.20.0.0/24")
    again = propose_vpn(engine, found)
    assert again.plan.to_do == ()
    assert {each.kind for each in again.plan.changes} == {Kind.KEEP}


def test_certificates_add_up(engine):
    _make(engine)
    for name in ("one", "two"):
        aks = make_aks({"name": "mr", "vpn": {"root_certificates": {name: "TUlJ"}}})
        engine.carry_out(propose_vpn(engine, as_found(engine, aks)))
    path, version = gateway_of(engine, BARE)
    gateway = engine.arm.get(path, version)
    assert gateway is not None
    listed = gateway["properties"]["vpnClientConfiguration"]["vpnClientRootCertificates"]
    assert sorted(each["name"] for each in listed) == ["one", "two"]


def test_down_takes_the_gateway_and_its_address_only(engine, azure):
    _make(engine)
    before = azure.named()
    engine.carry_out(propose_vpn(engine, as_found(engine, BARE)))
    changes, found = propose_vpn_down(engine, as_found(engine, BARE))
    assert [each.resource.key for each in changes] == ["vpn/gateway", "vpn/address"]
    carry_out_down(engine, changes, found)
    left = [name for name in azure.named() if not name.endswith("/subnets/GatewaySubnet")]
    assert left == before
    assert propose_vpn_down(engine, as_found(engine, BARE))[0] == ()


def test_somebody_elses_gateway_is_left_alone(engine):
    _make(engine)
    engine.carry_out(propose_vpn(engine, as_found(engine, BARE)))
    path, version = gateway_of(engine, BARE)
    gateway = engine.arm.get(path, version)
    assert gateway is not None
    engine.arm.put(path, version, {**gateway, "tags": {"owner": "it"}}, "gateway")
    with pytest.raises(CloudError, match="left alone"):
        propose_vpn_down(engine, BARE)


def test_without_a_network(engine):
    with pytest.raises(CloudError, match="elastron aks up"):
        as_found(engine, BARE)


@given(
    length=st.integers(16, 27),
    used=st.lists(st.tuples(st.integers(0, 2**16 - 1), st.integers(20, 28)), max_size=4),
)
def test_room_for_the_gateway(length, used):
    network = ipaddress.IPv4Network(f"10.9.0.0/{length}")
    taken = [
        ipaddress.IPv4Network((int(network.network_address) + offset, size), strict=False)
        for offset, size in used
    ]
    try:
        room = ipaddress.IPv4Network(_room(str(network), [str(each) for each in taken]))
    except ConfigError:
        parts = network.subnets(new_prefix=27) if length <= 27 else []
        assume(length < 20)
        assert all(any(part.overlaps(each) for each in taken) for part in parts)
        return
    assert room.subnet_of(network)
    assert room.prefixlen <= 27
    assert not any(room.overlaps(each) for each in taken)
