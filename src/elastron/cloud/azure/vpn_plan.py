"""Changes for the VPN alone, on a cluster that exists: the rest of it is not looked at."""

from __future__ import annotations

import ipaddress
from typing import Any

from elastron.cloud.azure.apply import Applying
from elastron.cloud.azure.build import api_version, resource_id
from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.engine import Engine, Proposal
from elastron.cloud.azure.network import network_id
from elastron.cloud.azure.plan import Change, deletions, plan
from elastron.cloud.azure.resource import Facts, look_up
from elastron.cloud.azure.resources import resources
from elastron.cloud.azure.survey import Found, is_ours, look_around
from elastron.cloud.azure.vpn import ADDRESS, GATEWAY, address_name, gateway_name
from elastron.errors import CloudError, ConfigError

_KEYS = frozenset({"group", "network", ADDRESS, GATEWAY})
_KIND = "Microsoft.Network/virtualNetworkGateways"
_NETWORK = "Microsoft.Network/virtualNetworks"


def as_found(engine: Engine, aks: Aks) -> Aks:
    """The description with place and ranges of the network that Azure has, for the VPN.

    Whoever made the cluster may have had another description; what is there counts.

    Raises:
        ConfigError: the network leaves no room for the gateway's subnet.
        CloudError: there is no such cluster, or its network is not ours.
    """
    facts = _facts(engine, aks)
    network = engine.arm.get(network_id(aks, facts), api_version(_NETWORK))
    if network is None:
        raise CloudError(
            f"There is no network of a cluster {aks.name} in the group {aks.group}. Make the "
            "cluster first: elastron aks up. Where it is in a network of the hospital's, that "
            "network's own gateway leads to it."
        )
    values = aks.model_dump(mode="json", exclude_unset=True)
    prefixes = look_up(network, "properties.addressSpace.addressPrefixes") or []
    subnets = {
        str(each.get("name")): str(look_up(each, "properties.addressPrefix") or "")
        for each in look_up(network, "properties.subnets") or []
    }
    ranges = dict(values.get("network") or {})
    if prefixes:
        ranges["range"] = prefixes[0]
    if subnets.get("nodes"):
        ranges["nodes_range"] = subnets["nodes"]
    if subnets.get("GatewaySubnet"):
        ranges["gateway_range"] = subnets["GatewaySubnet"]
    elif "gateway_range" not in ranges:
        ranges["gateway_range"] = _room(ranges["range"], list(subnets.values()))
    vpn = {**_gateway_as_found(engine, aks, facts), **(values.get("vpn") or {})}
    return make_aks({**values, "location": network["location"], "network": ranges, "vpn": vpn})


def propose_vpn(engine: Engine, aks: Aks) -> Proposal:
    """What is to be done for the VPN; changes nothing.

    Args:
        engine: asks.
        aks: of `as_found`, with certificates.

    Raises:
        CloudError: Azure refuses to tell.
    """
    facts = _facts(engine, aks)
    wanted = tuple(each for each in resources(aks, facts) if each.key in _KEYS)
    found = look_around(engine.arm, wanted)
    return Proposal(aks, facts, wanted, found, plan(wanted, found))


def propose_vpn_down(engine: Engine, aks: Aks) -> tuple[tuple[Change, ...], Found]:
    """What goes with the VPN: the gateway and its address; the subnet costs nothing and stays.

    Raises:
        CloudError: the gateway is somebody else's.
    """
    if aks.vpn is None:
        aks = make_aks({**aks.model_dump(mode="json", exclude_unset=True), "vpn": {}})
    facts = _facts(engine, aks)
    wanted = [each for each in resources(aks, facts) if each.key in (ADDRESS, GATEWAY)]
    found = look_around(engine.arm, wanted)
    gateway = found.get(GATEWAY)
    if gateway is not None and not is_ours(gateway, aks.name):
        raise CloudError(
            f"The gateway {gateway_name(aks)} was not made for {aks.name}, and is left alone."
        )
    return deletions(wanted, found, whole_group=False), found


def carry_out_down(engine: Engine, changes: tuple[Change, ...], found: Found) -> None:
    """Delete what was proposed."""
    Applying(engine.arm, changes, found, engine.progress).run()


def gateway_of(engine: Engine, aks: Aks) -> tuple[str, str]:
    """Id of the gateway that exists, and the version to ask it with.

    Raises:
        CloudError: there is none yet.
    """
    path = resource_id(aks, _facts(engine, aks), _KIND, gateway_name(aks))
    version = api_version(_KIND)
    if engine.arm.get(path, version) is None:
        raise CloudError(f"There is no gateway yet. Make it: elastron aks vpn up -n {aks.name}")
    return path, version


def _gateway_as_found(engine: Engine, aks: Aks, facts: Facts) -> dict[str, Any]:
    """Settings of the gateway that Azure has; empty where there is none."""
    gateway = engine.arm.get(resource_id(aks, facts, _KIND, gateway_name(aks)), api_version(_KIND))
    if gateway is None:
        return {}
    clients = look_up(gateway, "properties.vpnClientConfiguration") or {}
    ranges = look_up(clients, "vpnClientAddressPool.addressPrefixes") or []
    address = engine.arm.get(_address_id(aks, facts), api_version(_KIND)) or {}
    found = {
        "sku": look_up(gateway, "properties.sku.name"),
        "clients_range": ranges[0] if ranges else None,
        "protocols": clients.get("vpnClientProtocols"),
        "zones": address.get("zones") or [],
    }
    return {key: value for key, value in found.items() if value is not None}


def _address_id(aks: Aks, facts: Facts) -> str:
    return resource_id(aks, facts, "Microsoft.Network/publicIPAddresses", address_name(aks))


def _facts(engine: Engine, aks: Aks) -> Facts:
    # Nothing of the VPN depends on Kubernetes' version.
    login = engine.login
    return Facts(login.subscription_id, login.tenant_id, aks.kubernetes_version or "1.0")


def _room(network: str, used: list[str]) -> str:
    """The last /24 (or /27) of a network that nothing is in."""
    whole = ipaddress.IPv4Network(network)
    taken = [ipaddress.IPv4Network(each) for each in used if each]
    for length in (24, 27):
        if whole.prefixlen > length:
            continue
        step = 1 << (32 - length)
        first, last = int(whole.network_address), int(whole.broadcast_address) + 1 - step
        for start in range(last, max(first, last - 4096 * step) - 1, -step):
            part = ipaddress.IPv4Network((start, length))
            if not any(part.overlaps(each) for each in taken):
                return str(part)
    raise ConfigError(
        f"The network {network} has no room for the gateway's subnet; name one with "
        "`network.gateway_range`."
    )
