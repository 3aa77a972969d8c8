"""Whether a VPN carries what it is there for, seen from the computer that dialled in."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from elastron.cloud.azure.description import Aks

_CONNECT_S = 5.0
_ANY_PORT = 9


@dataclass(frozen=True)
class RouteFinding:
    """One thing that was looked at.

    Attributes:
        ok: whether it is as it must be; None: that depends on what else there is.
        text: what was found, and what to do.
    """

    ok: bool | None
    text: str


def local_networks() -> dict[str, list[str]]:
    """Networks that this computer is in, by interface."""
    import psutil  # noqa: PLC0415

    found: dict[str, list[str]] = {}
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if each.family == socket.AF_INET and each.netmask:
                network = ipaddress.IPv4Network(f"{each.address}/{each.netmask}", strict=False)
                if not network.is_loopback:
                    found.setdefault(name, []).append(str(network))
    return found


def source_address(to: str) -> str | None:
    """Which own address a packet to `to` would have; None: there is no way. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((to, _ANY_PORT))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def answers(host: str, port: int) -> str | None:
    """Connect to it; None where that works, else why not."""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_S):
            return None
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__


def check_overlap(aks: Aks, networks: Mapping[str, Sequence[str]]) -> list[RouteFinding]:
    """Networks of this computer that have addresses of the cluster's network too.

    Such addresses would not go through the tunnel, or no longer reach the hospital.

    Args:
        aks: the description.
        networks: of this computer, by interface.
    """
    clients = _clients_range(aks)
    wanted = {"network.range": ipaddress.IPv4Network(aks.network.range)}
    if clients is not None:
        wanted["vpn.clients_range"] = clients
    findings: list[RouteFinding] = []
    for interface, ranges in networks.items():
        for each in map(ipaddress.IPv4Network, ranges):
            if clients is not None and each.subnet_of(clients):
                continue  # the tunnel itself
            findings += [
                RouteFinding(
                    None,
                    f"This computer's network {each} ({interface}) overlaps {name} ({other}): "
                    "from here those addresses are not reached through the VPN. Choose another "
                    f"`{name}` before the cluster is made.",
                )
                for name, other in wanted.items()
                if each.overlaps(other)
            ]
    return findings


def check_routes(
    aks: Aks,
    routes: Iterable[str],
    source: str | None,
    networks: Mapping[str, Sequence[str]],
) -> list[RouteFinding]:
    """Whether the profile and this computer send the cluster's addresses through the tunnel. Pure.

    Args:
        aks: the description.
        routes: of the gateway's profile.
        source: own address towards the nodes' subnet, of `source_address`.
        networks: of this computer, by interface.
    """
    network = ipaddress.IPv4Network(aks.network.range)
    findings: list[RouteFinding] = []
    covered = any(network.subnet_of(ipaddress.IPv4Network(each)) for each in _networks(routes))
    findings.append(
        RouteFinding(
            covered,
            f"the profile routes {network} through the tunnel"
            if covered
            else f"the profile does not route {network}; make it anew with elastron aks vpn client",
        )
    )
    clients = _clients_range(aks)
    through = (
        source is not None and clients is not None and ipaddress.IPv4Address(source) in clients
    )
    if through:
        text = f"this computer is {source} in the tunnel"
    elif source is None:
        text = "this computer has no way to the nodes at all; connect the VPN first"
    else:
        text = (
            f"packets to {aks.network.nodes_range} would leave from {source}, which is not of the "
            f"VPN's {clients}; connect the VPN first"
        )
    findings.append(RouteFinding(through, text))
    return findings + check_overlap(aks, networks)


def _clients_range(aks: Aks) -> ipaddress.IPv4Network | None:
    return ipaddress.IPv4Network(aks.vpn.clients_range) if aks.vpn is not None else None


def _networks(routes: Iterable[str]) -> Iterable[ipaddress.IPv4Network]:
    for each in routes:
        try:
            yield ipaddress.IPv4Network(each, strict=False)
        except ValueError:
            continue
