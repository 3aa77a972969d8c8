"""Parts of the description of a cluster on Azure: storage, registry, monitoring, the fleet."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from elastron.cloud.azure.description_parts import Part
from elastron.cloud.azure.names import (
    ContainerName,
    KubernetesName,
    RegistryName,
    StorageAccountName,
    WorkspaceName,
)


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
    autoscaler: Autoscaler | None = Field(
        default=None,
        description="hpa (with the Prometheus adapter), keda (brought by AKS; it asks the fleet "
        "itself) or none. None: hpa where Prometheus runs in the cluster, else keda.",
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
