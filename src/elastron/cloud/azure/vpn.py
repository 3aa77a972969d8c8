"""The VPN gateway: computers of a hospital become part of the cluster's network.

Point to site: each computer has a certificate and dials in by itself; nothing changes in the
hospital's network. The gateway is in the network of the nodes, in the subnet that `network`
makes for it, so that clients reach nodes and internal load balancers without further routes; what
they are told to send through the tunnel is the network's whole range.
"""

from __future__ import annotations

from elastron.cloud.azure.build import in_group
from elastron.cloud.azure.description import Aks
from elastron.cloud.azure.description_network import Vpn
from elastron.cloud.azure.names import derived
from elastron.cloud.azure.network import gateway_subnet_id
from elastron.cloud.azure.resource import Body, Facts, Later, Resource

ADDRESS = "vpn/address"
GATEWAY = "vpn/gateway"

_CLIENTS = "properties.vpnClientConfiguration"
# The two largest sizes are made in the second generation only.
_SECOND_GENERATION = frozenset({"VpnGw4AZ", "VpnGw5AZ"})


def gateway_name(aks: Aks) -> str:
    """Name of the gateway."""
    return derived(aks.name, "-vpn", 80)


def address_name(aks: Aks) -> str:
    """Name of its public address."""
    return derived(aks.name, "-vpn-ip", 80)


def vpn_resources(aks: Aks, facts: Facts) -> list[Resource]:
    """The gateway and its public address; none where the description has no `vpn`."""
    if aks.vpn is None:
        return []
    return [_address(aks, facts, aks.vpn), _gateway(aks, facts, aks.vpn)]


def _address(aks: Aks, facts: Facts, vpn: Vpn) -> Resource:
    body: Body = {
        "sku": {"name": "Standard", "tier": "Regional"},
        "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
    }
    if vpn.zones:
        body["zones"] = list(vpn.zones)
    return in_group(
        aks,
        facts,
        ADDRESS,
        "Microsoft.Network/publicIPAddresses",
        address_name(aks),
        body=body,
        fixed=("sku", "zones", "properties.publicIPAllocationMethod"),
    )


def _gateway(aks: Aks, facts: Facts, vpn: Vpn) -> Resource:
    body: Body = {
        "properties": {
            "gatewayType": "Vpn",
            "vpnType": "RouteBased",
            "vpnGatewayGeneration": (
                "Generation2" if vpn.sku in _SECOND_GENERATION else "Generation1"
            ),
            "sku": {"name": vpn.sku, "tier": vpn.sku},
            "activeActive": False,
            "enableBgp": False,
            "ipConfigurations": [
                {
                    "name": "default",
                    "properties": {
                        "privateIPAllocationMethod": "Dynamic",
                        "publicIPAddress": {"id": Later(ADDRESS)},
                        "subnet": {"id": gateway_subnet_id(aks, facts)},
                    },
                }
            ],
            "vpnClientConfiguration": {
                "vpnClientAddressPool": {"addressPrefixes": [vpn.clients_range]},
                "vpnClientProtocols": [protocol.value for protocol in vpn.protocols],
                "vpnAuthenticationTypes": ["Certificate"],
                "vpnClientRootCertificates": [
                    {"name": name, "properties": {"publicCertData": data}}
                    for name, data in vpn.root_certificates.items()
                ],
                "vpnClientRevokedCertificates": [
                    {"name": name, "properties": {"thumbprint": thumbprint}}
                    for name, thumbprint in vpn.revoked_thumbprints.items()
                ],
            },
        }
    }
    return in_group(
        aks,
        facts,
        GATEWAY,
        "Microsoft.Network/virtualNetworkGateways",
        gateway_name(aks),
        body=body,
        fixed=(
            "properties.gatewayType",
            "properties.vpnType",
            "properties.vpnGatewayGeneration",
        ),
        # Certificates that `aks vpn` added stay when `aks up` knows nothing of them.
        open_lists=(
            f"{_CLIENTS}.vpnClientRootCertificates",
            f"{_CLIENTS}.vpnClientRevokedCertificates",
        ),
    )
