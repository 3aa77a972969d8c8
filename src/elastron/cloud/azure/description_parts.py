"""Parts of the description of a cluster on Azure: pools, network, storage, monitoring, VPN."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elastron.cloud.azure.names import (
    ContainerName,
    KubernetesName,
    LabelKey,
    LabelValue,
    Range,
    RegistryName,
    StorageAccountName,
    SubnetId,
    Taint,
    VmSize,
    WorkspaceName,
    Zone,
)
from elastron.cloud.azure.sizes import has_gpu

GPU_TAINT = "sku=gpu:NoSchedule"
SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
POOL_NODES_MAX = 1000
"""What AKS allows in one pool."""


class Part(BaseModel):
    """Base of all parts: nothing unknown, nothing changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OsDisk(StrEnum):
    """Where a node's system disk lies."""

    MANAGED = "managed"
    EPHEMERAL = "ephemeral"


class Nodes(Part):
    """What system and user pools share."""

    zones: tuple[Zone, ...] = Field(
        default=(),
        max_length=9,
        description="Availability zones such as [1, 2, 3]. Empty: Azure places the nodes; a "
        "pool's zones cannot be changed later.",
    )
    os_disk: OsDisk = Field(
        default=OsDisk.MANAGED,
        description="managed, or ephemeral: on the machine itself, faster and free, where the "
        "size has a local disk that is large enough.",
    )
    os_disk_gb: int | None = Field(
        default=None,
        ge=30,
        le=2048,
        description="GiB of the system disk; images of containers lie there. None: 128, or more "
        "on large machines (AKS decides).",
    )

    @model_validator(mode="before")
    @classmethod
    def _zones_are_text(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("zones"), list | tuple):
            return {**values, "zones": [str(zone) for zone in values["zones"]]}
        return values


class SystemPool(Nodes):
    """Nodes for the cluster's own parts: DNS, gateway, Prometheus."""

    vm_size: VmSize = Field(
        default="Standard_D4s_v5",
        description="Size of its machines. AKS wants 4 cores for system pools; the original's "
        "Standard_DS2_v2 has 2 and is retired in 2028.",
    )
    min: int = Field(default=1, ge=1, le=POOL_NODES_MAX, description="Nodes at least.")
    max: int = Field(default=3, ge=1, le=POOL_NODES_MAX, description="Nodes at most.")

    @model_validator(mode="after")
    def _min_below_max(self) -> SystemPool:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class GpuDriver(StrEnum):
    """Who installs NVIDIA's driver on nodes with GPUs."""

    AKS = "aks"
    OPERATOR = "operator"


class Pool(Nodes):
    """Nodes for scans."""

    vm_size: VmSize = Field(
        default="Standard_D8s_v5",
        description="Size of its machines. The original's Standard_F4s_v2 is retired in 2028.",
    )
    min: int = Field(
        default=0,
        ge=0,
        le=POOL_NODES_MAX,
        description="Nodes at least. 0: no machine runs while nobody scans; the first scan then "
        "waits some minutes for one.",
    )
    max: int = Field(default=10, ge=1, le=POOL_NODES_MAX, description="Nodes at most.")
    gpu: bool | None = Field(
        default=None,
        description="Whether its machines have NVIDIA GPUs: then only pods that tolerate "
        "`sku=gpu:NoSchedule` run there. None: told by the size's name.",
    )
    gpu_driver: GpuDriver = Field(
        default=GpuDriver.AKS,
        description="aks: nodes come with NVIDIA's driver, and the device plugin is installed "
        "beside the fleet; operator: neither, the NVIDIA GPU Operator brings both.",
    )
    spot: bool = Field(
        default=False,
        description="Cheap machines that Azure may take back at 30 s notice; scans there start "
        "again elsewhere.",
    )
    taints: tuple[Taint, ...] = Field(
        default=(), max_length=32, description="Beside those of GPUs and spot machines."
    )
    labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, max_length=64, description="Of its nodes, for nodeSelector."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Pool:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self

    @cached_property
    def has_gpu(self) -> bool:
        """Whether its machines have NVIDIA GPUs."""
        return has_gpu(self.vm_size) if self.gpu is None else self.gpu

    @cached_property
    def all_taints(self) -> tuple[str, ...]:
        """Its own taints, and those that GPUs and spot machines bring, each once."""
        gpu = (GPU_TAINT,) if self.has_gpu else ()
        spot = (SPOT_TAINT,) if self.spot else ()
        return tuple(dict.fromkeys((*gpu, *spot, *self.taints)))


class Channel(StrEnum):
    """How far AKS upgrades Kubernetes by itself."""

    NONE = "none"
    PATCH = "patch"
    STABLE = "stable"
    RAPID = "rapid"


class Day(StrEnum):
    """A day of the week."""

    MONDAY = "Monday"
    TUESDAY = "Tuesday"
    WEDNESDAY = "Wednesday"
    THURSDAY = "Thursday"
    FRIDAY = "Friday"
    SATURDAY = "Saturday"
    SUNDAY = "Sunday"


class Upgrades(Part):
    """When AKS may replace nodes by newer ones."""

    kubernetes: Channel = Field(
        default=Channel.PATCH,
        description="none, patch (bug fixes of the same 1.x), stable (the second newest 1.x) or "
        "rapid.",
    )
    node_image: bool = Field(
        default=True, description="Whether nodes get the weekly image with security fixes."
    )
    day: Day = Field(default=Day.SUNDAY, description="When both happen: day of the week.")
    start: str = Field(
        default="01:00",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="Hour and minute, by `utc_offset`.",
    )
    hours: int = Field(default=4, ge=4, le=24, description="Length of the window; at least 4.")
    utc_offset: str = Field(
        default="+00:00",
        pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$",
        description="Of `start`, such as +01:00.",
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
        description="Who may reach the Kubernetes API, such as [198.51.100.0/24]. Empty: anyone "
        "with credentials. Not with private_cluster.",
    )
    internal_load_balancer: bool = Field(
        default=False,
        description="The fleet's doors get addresses of the virtual network in place of public "
        "ones.",
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


class Redundancy(StrEnum):
    """How many copies of what is stored there are, and where."""

    LRS = "LRS"  # three in one building
    ZRS = "ZRS"  # three in three zones
    GRS = "GRS"  # and three in another region


class Share(StrEnum):
    """Which class of volumes several nodes can share."""

    SMB = "smb"
    NFS = "nfs"
    NONE = "none"


class Reach(StrEnum):
    """From where the storage accounts can be reached at all."""

    NODES = "nodes"
    ALL = "all"


class Storage(Part):
    """Where the storage server and the archive keep what they keep."""

    account: StorageAccountName | None = Field(
        default=None,
        description="Name of the storage account for blobs. None: the cluster's name in small "
        "letters without hyphens, and `sa`, as in the original.",
    )
    redundancy: Redundancy = Field(
        default=Redundancy.LRS,
        description="LRS: three copies in one building; ZRS: in three zones; GRS: a second "
        "region as well.",
    )
    containers: tuple[ContainerName, ...] = Field(
        default=("storage",),
        min_length=1,
        max_length=50,
        description="For blobs; the first is the storage server's.",
    )
    delete_retention_days: int = Field(
        default=7, ge=0, le=365, description="How long deleted blobs can be had back. 0: not."
    )
    share: Share = Field(
        default=Share.SMB,
        description="Class of volumes that several nodes share (the fleet's data volume), made in "
        "Azure Files without account keys: smb, encrypted and mounted by the nodes' identity; "
        "nfs, POSIX and fast, but unencrypted inside the virtual network and 100 GiB at least; "
        "none: the cluster's own classes only, whose SMB ones need keys.",
    )
    share_account: StorageAccountName | None = Field(
        default=None,
        description="Name of the storage account for nfs. None: as `account`, with `nfs` in "
        "place of `sa`.",
    )
    reach: Reach = Field(
        default=Reach.NODES,
        description="nodes: from the nodes' subnet only (with network.subnet, that one needs the "
        "service endpoint Microsoft.Storage); all: from anywhere. Nobody gets in without a role.",
    )

    @model_validator(mode="after")
    def _named_once(self) -> Storage:
        if len(set(self.containers)) != len(self.containers):
            raise ValueError("containers are named twice")
        return self


class RegistryTier(StrEnum):
    """How much a registry holds and carries."""

    BASIC = "Basic"
    STANDARD = "Standard"
    PREMIUM = "Premium"


class Registry(Part):
    """A container registry of one's own, from which the nodes may pull."""

    name: RegistryName | None = Field(
        default=None, description="None: the cluster's name in letters and digits, and `cr`."
    )
    tier: RegistryTier = Field(
        default=RegistryTier.BASIC,
        description="Basic (10 GiB), Standard (100 GiB) or Premium (500 GiB).",
    )


class Metrics(StrEnum):
    """Which Prometheus watches the fleet."""

    CLUSTER = "cluster"
    MANAGED = "managed"
    NONE = "none"


class Monitoring(Part):
    """Logs and metrics."""

    logs: bool = Field(
        default=True,
        description="Logs of all containers go to a Log Analytics workspace (table "
        "ContainerLogV2), as in the original.",
    )
    workspace: WorkspaceName | None = Field(
        default=None, description="Name of that workspace. None: the cluster's name and `-logs`."
    )
    retention_days: int = Field(
        default=30, ge=30, le=730, description="How long logs are kept; 31 days cost nothing."
    )
    daily_cap_gb: float | None = Field(
        default=None,
        ge=0.023,
        le=10_000,
        description="Logs beyond this many GB a day are dropped, and cost nothing. None: no cap.",
    )
    metrics: Metrics = Field(
        default=Metrics.CLUSTER,
        description="cluster: a Prometheus and Grafana in the cluster, as in the original; "
        "managed: Azure Monitor's; none: neither.",
    )


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


class Autoscaler(StrEnum):
    """Who scales the fleet's pods."""

    HPA = "hpa"
    KEDA = "keda"
    NONE = "none"


class FleetPart(Part):
    """The fleet that is installed into the cluster."""

    install: bool = Field(default=True, description="Whether `aks up` installs it.")
    release: KubernetesName = Field(
        default="gt1", description="Name of the Helm release, as in the original's README."
    )
    namespace: KubernetesName = Field(default="default", description="Where it is installed.")
    pool: str | None = Field(
        default=None,
        description="User pool whose nodes run scans. None: the only one, or `userpool`.",
    )
    autoscaler: Autoscaler = Field(
        default=Autoscaler.HPA,
        description="hpa (with the Prometheus adapter), keda (KEDA is installed by AKS) or none.",
    )
    values: dict[str, Any] = Field(
        default_factory=dict,
        description="Further values of the chart helm/gadgetron; they win over all others.",
    )


class Tier(StrEnum):
    """What Azure promises for the Kubernetes API."""

    FREE = "Free"
    STANDARD = "Standard"


class Access(StrEnum):
    """How people log in to the Kubernetes API."""

    CERTIFICATE = "certificate"
    ENTRA = "entra"
