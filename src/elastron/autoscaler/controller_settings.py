"""Settings of the controller on Kubernetes; the chart writes them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from elastron.fleet.settings import ScheduleRule
from elastron.service.address import AddressText
from elastron.service.logs import LogFormat


class Scaler(StrEnum):
    """What the scheduled minimum of a pool is written to."""

    NONE = "none"
    HPA = "hpa"  # minReplicas of a HorizontalPodAutoscaler


def _unique(pools: tuple[ControlledPool, ...]) -> tuple[ControlledPool, ...]:
    names = [pool.name for pool in pools]
    if len(set(names)) != len(names):
        raise ValueError("two pools have one name")
    return pools


class ControlledPool(BaseModel):
    """One pool, as the controller knows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("default", description="Of the pool; label elastron.dev/pool of its pods.")
    scaler: Scaler = Field(Scaler.NONE, description="hpa: its minimum follows the schedule.")
    object: str = Field("", description="Name of the HorizontalPodAutoscaler.")
    min: int = Field(1, ge=0, description="Nodes at least where no rule says otherwise.")
    max: int = Field(10, ge=1, description="Nodes at most; no scheduled minimum goes beyond.")
    schedule: tuple[ScheduleRule, ...] = Field((), description="Minimums that follow the clock.")


class ControllerSettings(BaseModel):
    """What the controller is told at its start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: str | None = Field(
        None, description="Where the fleet lives. None: POD_NAMESPACE of the environment."
    )
    name: str | None = Field(
        None, description="Ours, among several controllers. None: POD_NAME, else the host's name."
    )
    lease: str = Field(
        "gadgetron-controller", description="Lease by which one of several controllers leads."
    )
    pods: str = Field("elastron.dev/role=node", description="Label selector of the nodes' pods.")
    gateways: str | None = Field(
        None, description="Service whose endpoints are the gateways' admin pages: their queues."
    )
    admin_port: int = Field(9080, ge=1, le=65535, description="Admin port of nodes and gateways.")
    pools: Annotated[tuple[ControlledPool, ...], AfterValidator(_unique)] = Field(
        (), description="Pools of the fleet."
    )
    interval_s: float = Field(
        5, gt=0, description="Pause between two looks at all nodes, if nothing happens before."
    )
    probe_timeout_s: float = Field(
        2, gt=0, description="A node that does not tell its load by then keeps what it has."
    )
    admin: AddressText | None = Field(
        "127.0.0.1:9080", description="HOST:PORT of our own admin pages. None: none."
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="auto (console on a terminal, else JSON), console or json."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level that is logged."
    )
