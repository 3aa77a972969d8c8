"""Parts of the description of a cluster on Azure: addresses, doors, VPN."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from elastron.cloud.azure.description_parts import Part
from elastron.cloud.azure.names import (
    Range,
    SubnetId,
    Zone,
)


class Network(Part):
    """Addresses, and who may reach what."""

    private_cluster: bool = Field(
        default=False,
        description="The Kubernetes API has a private address only: reachable through the VPN or "
        "a peered network. Cannot be changed later.",
    )
    authorized_ranges: tuple[Range, ...] = Field(
        default=(),
        max_length=200,
        description="Who may reach the Kubernetes API, such as [198.51.100.0/24]. Empty: as it "
        "is; at first anyone with credentials. Not with private_cluster.",
    )
    internal_load_balancer: bool = Field(
        default=False,
        description="The fleet's door gets an address of the virtual network, for those who reach "
        "that by VPN or peering. Else it is inside the cluster only.",
    )
    subnet: SubnetId | None = Field(
        default=None,
        description="Full id of a subnet that exists, for the nodes. None: a virtual network of "
        "its own is made from the ranges below.",
    )
    range: Range = Field(default="10.224.0.0/16", description="Of the virtual network.")
    nodes_range: Range = Field(
        default="10.224.0.0/20",
        description="Of the subnet of the nodes, inside `range`. 4,091 nodes and load balancers.",
    )
    gateway_range: Range = Field(
        default="10.224.255.0/24",
        description="Of the subnet of the VPN gateway, inside `range`; made only with `vpn`. "
        "/27 or larger.",
    )
    pods_range: Range = Field(
        default="10.244.0.0/16",
        description="Of the pods: an overlay that nothing outside the cluster sees. A /24 a node.",
    )
    services_range: Range = Field(
        default="10.0.0.0/16", description="Of Services, seen inside the cluster only."
    )

    @model_validator(mode="after")
    def _ranges_fit(self) -> Network:
        if self.private_cluster and self.authorized_ranges:
            raise ValueError("a private_cluster takes no authorized_ranges: leave one of them out")
        whole = ipaddress.IPv4Network(self.range)
        for name in ("nodes_range", "gateway_range"):
            part = ipaddress.IPv4Network(getattr(self, name))
            if not part.subnet_of(whole):
                raise ValueError(f"{name} ({part}) is not inside range ({whole})")
        if ipaddress.IPv4Network(self.gateway_range).prefixlen > 27:
            raise ValueError(f"gateway_range ({self.gateway_range}) is smaller than /27")
        apart(
            ("nodes_range", self.nodes_range),
            ("gateway_range", self.gateway_range),
        )
        apart(
            ("range", self.range),
            ("pods_range", self.pods_range),
            ("services_range", self.services_range),
        )
        return self

    @property
    def dns_service_ip(self) -> str:
        """Address of the cluster's DNS: the tenth of the Services."""
        return str(ipaddress.IPv4Network(self.services_range)[10])


def apart(*ranges: tuple[str, str]) -> None:
    """Refuse ranges that overlap.

    Args:
        ranges: name and range of each.

    Raises:
        ValueError: two have addresses in common; says which.
    """
    for index, (name, text) in enumerate(ranges):
        for other_name, other in ranges[:index]:
            if ipaddress.IPv4Network(text).overlaps(ipaddress.IPv4Network(other)):
                raise ValueError(f"{name} ({text}) and {other_name} ({other}) overlap")


class VpnProtocol(StrEnum):
    """What a VPN client speaks."""

    OPENVPN = "OpenVPN"
    IKEV2 = "IkeV2"


class Vpn(Part):
    """A point-to-site gateway: computers of the hospital join the virtual network."""

    sku: str = Field(
        default="VpnGw1AZ",
        pattern=r"^VpnGw[1-5]AZ$",
        description="VpnGw1AZ (650 Mbit/s, 250 OpenVPN clients) to VpnGw5AZ. Sizes without AZ "
        "can no longer be made.",
    )
    zones: tuple[Zone, ...] = Field(
        default=("1", "2", "3"),
        max_length=3,
        description="Of its public address; all three where the location has zones, empty where "
        "it has none.",
    )
    clients_range: Range = Field(
        default="172.16.201.0/24",
        description="Addresses that clients get; apart from all other networks.",
    )
    protocols: tuple[VpnProtocol, ...] = Field(
        default=(VpnProtocol.OPENVPN, VpnProtocol.IKEV2),
        min_length=1,
        description="OpenVPN (any system; port 443 gets through most firewalls), IkeV2 (built "
        "into Windows, macOS and strongSwan).",
    )
    root_certificates: dict[str, str] = Field(
        default_factory=dict,
        max_length=20,
        description="Public part of the root certificates, by name: base64 of DER, without "
        "BEGIN and END. Clients whose certificate one of them signed may join.",
    )
    revoked_thumbprints: dict[str, str] = Field(
        default_factory=dict,
        max_length=300,
        description="Certificates of clients that may no longer join: SHA-1 thumbprint, by name.",
    )

    @model_validator(mode="before")
    @classmethod
    def _zones_are_text(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("zones"), list | tuple):
            return {**values, "zones": [str(zone) for zone in values["zones"]]}
        return values
