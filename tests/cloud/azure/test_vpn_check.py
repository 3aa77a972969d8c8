"""Whether traffic for the cluster goes through the tunnel."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from elastron.cloud.azure.description import make_aks
from elastron.cloud.azure.vpn_check import (
    answers,
    check_overlap,
    check_routes,
    local_networks,
    source_address,
)

AKS = make_aks({"name": "mr", "vpn": {}})
ROUTES = ("10.224.0.0/16", "172.16.201.0/24")
TUNNEL = {"tun0": ["172.16.201.2/32"], "eth0": ["192.168.1.0/24"]}


def test_all_is_well_in_the_tunnel():
    findings = check_routes(AKS, ROUTES, "172.16.201.2", TUNNEL)
    assert [each.ok for each in findings] == [True, True]


@pytest.mark.parametrize(
    ("source", "words"),
    [("192.168.1.7", "would leave from 192.168.1.7"), (None, "no way to the nodes")],
)
def test_outside_the_tunnel(source, words):
    findings = check_routes(AKS, ROUTES, source, {})
    assert [each.ok for each in findings] == [True, False]
    assert words in findings[1].text
    assert "connect the VPN" in findings[1].text


@pytest.mark.parametrize("routes", [(), ("10.224.0.0/20",), ("nonsense",), ("10.0.0.0/16",)])
def test_a_profile_that_leaves_the_cluster_out(routes):
    assert check_routes(AKS, routes, "172.16.201.2", {})[0].ok is False


def test_wider_routes_do():
    assert check_routes(AKS, ("10.0.0.0/8",), "172.16.201.2", {})[0].ok


def test_a_hospital_with_the_same_addresses():
    (finding,) = check_overlap(AKS, {"eth0": ["10.224.7.0/24", "192.168.0.0/24"]})
    assert finding.ok is None
    assert "10.224.7.0/24 (eth0) overlaps network.range" in finding.text


def test_the_tunnel_itself_is_no_overlap():
    assert check_overlap(AKS, TUNNEL) == []
    (finding,) = check_overlap(AKS, {"eth0": ["172.16.0.0/12"]})
    assert "vpn.clients_range" in finding.text


def test_this_computers_networks_are_networks():
    for ranges in local_networks().values():
        for each in ranges:
            assert not ipaddress.IPv4Network(each).is_loopback


def test_the_way_to_this_computer_is_this_computer():
    assert source_address("127.0.0.1") == "127.0.0.1"


def test_who_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers("127.0.0.1", port) is None
    assert answers("127.0.0.1", port)
