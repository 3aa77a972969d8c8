"""Virtual network: a subnet for the nodes, and one for the VPN gateway."""

from __future__ import annotations

from elastron.cloud.azure.build import in_group, resource_id
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.names import derived
from elastron.cloud.azure.resource import Body, Facts, Resource

_KIND = "Microsoft.Network/virtualNetworks"


def network_id(aks: Aks, facts: Facts) -> str:
    """Full id of the virtual network that is made."""
    return resource_id(aks, facts, _KIND, _name(aks))


def nodes_subnet_id(aks: Aks, facts: Facts) -> str:
    """Full id of the subnet in which the nodes are."""
    return aks.network.subnet or f"{network_id(aks, facts)}/subnets/nodes"


def gateway_subnet_id(aks: Aks, facts: Facts) -> str:
    """Full id of the VPN gateway's subnet; its name is Azure's rule."""
    return f"{network_id(aks, facts)}/subnets/GatewaySubnet"


def network_resources(aks: Aks, facts: Facts) -> list[Resource]:
    """The virtual network, unless the nodes join one that exists."""
    if aks.network.subnet is not None:
        return []
    nodes: Body = {
        "name": "nodes",
        "properties": {
            "addressPrefix": aks.network.nodes_range,
            # The storage account lets in this subnet only, and knows it by this end point.
            "serviceEndpoints": [{"service": "Microsoft.Storage"}],
        },
    }
    gateway: Body = {
        "name": "GatewaySubnet",
        "properties": {"addressPrefix": aks.network.gateway_range},
    }
    body: Body = {
        "properties": {
            "addressSpace": {"addressPrefixes": [aks.network.range]},
            "subnets": [nodes, gateway] if aks.vpn is not None else [nodes],
        }
    }
    return [
        in_group(
            aks, facts, "network", _KIND, _name(aks), body=body, open_lists=("properties.subnets",)
        )
    ]


def _name(aks: Aks) -> str:
    return derived(aks.name, "-net", 64)
