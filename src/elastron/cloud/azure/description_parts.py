"""Parts of the description of a cluster on Azure: its machines, and when they are replaced."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elastron.cloud.azure.names import (
    Clock,
    LabelKey,
    LabelValue,
    Offset,
    Taint,
    VmSize,
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
        description="Size of its machines. AKS asks for 4 cores there; the original's "
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
        description="Nodes at least. 0: no machine runs while nobody scans (with "
        "`fleet.autoscaler: keda`; hpa keeps one pod, and so one machine); the first scan then "
        "waits minutes for one.",
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
    start: Clock = Field(
        default="01:00",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="Hour and minute, by `utc_offset`.",
    )
    hours: int = Field(default=4, ge=4, le=24, description="Length of the window; at least 4.")
    utc_offset: Offset = Field(
        default="+00:00",
        pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$",
        description="Of `start`, such as +01:00.",
    )
