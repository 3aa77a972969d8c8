"""What `fleet.yaml` says: pools of nodes, how they grow and shrink, and what they cost.

    pools:
      default:
        min: 1
        max: 12
    scaling:
      buffer: 25%
      schedule:
        - time_zone: Europe/Berlin
          up: {cron: "45 6 * * 1-5", min: 6}
          down: {cron: "0 18 * * 1-5"}

`scaling` holds for all pools; a pool's own `scaling` wins, key by key. `scale_up` and `scale_down`
mean what `behavior` of a Kubernetes HorizontalPodAutoscaler (autoscaling/v2) means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ByteSize, ConfigDict, Field, ValidationError, model_validator

from elastron.errors import ConfigError
from elastron.fleet.setting_types import (
    NODES_MAX,
    Buffer,
    BufferText,
    Cron,
    PoolName,
    TimeZone,
    Word,
)
from elastron.service.yaml_settings import (
    merge_tables,
    parse_table,
    problems_of,
    read_settings,
)

_PROBLEMS_MAX = 10


class PolicyKind(StrEnum):
    """What a rate policy counts in."""

    NODES = "nodes"
    PERCENT = "percent"


class Select(StrEnum):
    """Which of several rate policies holds."""

    MAX = "max"  # the one that allows the larger change
    MIN = "min"  # the one that allows the smaller change
    DISABLED = "disabled"  # no change in this direction at all


class RatePolicy(BaseModel):
    """How much may change within a period."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: PolicyKind = Field(description="nodes (HPA: Pods) or percent of those at its start.")
    value: int = Field(ge=1, le=1_000_000, description="So many nodes, or percent.")
    period_s: int = Field(ge=1, le=1800, description="Within this time.")


class Behaviour(BaseModel):
    """How the fleet moves in one direction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stabilisation_window_s: float = Field(
        ge=0,
        le=3600,
        description="The most cautious recommendation within this time holds.",
    )
    policies: tuple[RatePolicy, ...] = Field(
        min_length=1, max_length=32, description="How fast the fleet may change."
    )
    select: Select = Field(default=Select.MAX, description="max, min or disabled.")
    tolerance: float | None = Field(
        default=None, ge=0, le=1, description="For this direction. None: the common `tolerance`."
    )


def _policy(kind: PolicyKind, value: int) -> RatePolicy:
    return RatePolicy(type=kind, value=value, period_s=15)


class ScaleUp(Behaviour):
    """How the fleet grows: at once."""

    stabilisation_window_s: float = Field(
        default=0,
        ge=0,
        le=3600,
        description="The lowest recommendation within this time holds.",
    )
    policies: tuple[RatePolicy, ...] = Field(
        default=(_policy(PolicyKind.NODES, 20), _policy(PolicyKind.PERCENT, 100)),
        min_length=1,
        max_length=32,
        description="How fast it may grow. Default: 20 more or twofold in 15 s (HPA: 4 more).",
    )
    tolerance: float | None = Field(
        default=0,
        ge=0,
        le=1,
        description="For growing. Default 0: a scan that waits is worth a node. None: the common.",
    )


class ScaleDown(Behaviour):
    """How the fleet shrinks: slowly."""

    stabilisation_window_s: float = Field(
        default=300,
        ge=0,
        le=3600,
        description="The highest recommendation within this time holds, so that pauses between "
        "scans cost no nodes.",
    )
    policies: tuple[RatePolicy, ...] = Field(
        default=(_policy(PolicyKind.PERCENT, 100),),
        min_length=1,
        max_length=32,
        description="How fast it may shrink once the window allows it. Default: at once.",
    )


class Moment(BaseModel):
    """From when on a minimum holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cron: Cron = Field(description="Minute hour day month weekday, in the rule's time zone.")
    min: int | None = Field(
        default=None,
        ge=0,
        le=NODES_MAX,
        description="Nodes at least from then on. None: the pool's `min`.",
    )


class ScheduleRule(BaseModel):
    """A minimum that follows the clock: `up` holds from its moment until that of `down`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", max_length=128, description="For people, as in `working hours`.")
    time_zone: TimeZone = Field("UTC", description="Of the clock, such as Europe/Berlin.")
    up: Moment = Field(description="From when on the larger minimum holds.")
    down: Moment = Field(description="From when on it no longer does.")


class ScalingSettings(BaseModel):
    """How many nodes the demand is worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of a node's places that should be in use: a node is wanted for each "
        "`capacity` x `target` running or queued scans. Spare places come from `buffer`.",
    )
    tolerance: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="No change while demand and nodes agree within this share (HPA's default).",
    )
    buffer: BufferText = Field(
        default=Buffer(percent=25),
        description="Nodes kept warm beside those that the demand needs: a number (2) or a share "
        "of those, rounded up (25%).",
    )
    scale_up: ScaleUp = Field(default=ScaleUp(), description="How the fleet grows.")
    scale_down: ScaleDown = Field(default=ScaleDown(), description="How the fleet shrinks.")
    idle_to_zero_s: float | None = Field(
        default=600,
        ge=0,
        description="Where the minimum is 0: without any scan for this long, the last nodes go, "
        "those of `buffer` too. None: one node stays.",
    )
    schedule: tuple[ScheduleRule, ...] = Field(
        default=(),
        max_length=64,
        description="Minimums that follow the clock, in place of the pool's `min`; where several "
        "rules hold, the largest counts.",
    )


class PoolSettings(BaseModel):
    """Nodes of one kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int = Field(
        default=1,
        ge=0,
        le=NODES_MAX,
        description="Nodes at least, unless a schedule says otherwise.",
    )
    max: int = Field(
        default=20, ge=1, le=NODES_MAX, description="Nodes at most, also for a schedule."
    )
    capacity: int = Field(default=1, ge=1, le=4096, description="Scans at once on one node.")
    memory_bytes_max: ByteSize | None = Field(
        default=None, ge=64 << 20, description="Memory of a node, such as 8GiB. None: no limit."
    )
    configs: tuple[Word, ...] = Field(
        default=("*",),
        max_length=1024,
        description="Configs whose scans come here: names, with * and ? as wildcards.",
    )
    capabilities: tuple[Word, ...] = Field(
        default=(), max_length=64, description="What its nodes can do beyond the common, e.g. gpu."
    )
    start_delay_s: float = Field(
        default=120,
        ge=0,
        le=86400,
        description="From asking for a node to its first scan, for `elastron simulate`: minutes "
        "where a machine must be rented first, a second or two for a process.",
    )
    price_per_hour: float = Field(
        default=0, ge=0, description="Of one node, in any currency. For `elastron simulate`."
    )
    scaling: ScalingSettings = Field(
        default=ScalingSettings(), description="In place of the fleet's `scaling`, key by key."
    )

    @model_validator(mode="after")
    def _min_below_max(self) -> PoolSettings:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        for rule in self.scaling.schedule:
            largest = max(rule.up.min or 0, rule.down.min or 0)
            if largest > self.max:
                raise ValueError(f"the schedule's minimum {largest} is above max ({self.max})")
        return self

    @cached_property
    def target_per_node(self) -> float:
        """Running or queued scans that are worth one node."""
        return self.capacity * self.scaling.target


class FleetSettings(BaseModel):
    """A whole `fleet.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pools: dict[PoolName, PoolSettings] = Field(
        default_factory=lambda: {"default": PoolSettings()},
        min_length=1,
        max_length=64,
        description="Kinds of nodes, by name. A scan goes to the first whose `configs` fit; those "
        "with `*` come last.",
    )
    scaling: ScalingSettings = Field(
        default=ScalingSettings(), description="How pools grow and shrink."
    )
    poll_s: float = Field(
        default=0.5,
        gt=0,
        le=300,
        description="How often demand is looked at and decided upon. The HPA of a cluster: 15.",
    )

    @model_validator(mode="before")
    @classmethod
    def _share_scaling(cls, values: Any) -> Any:
        """Give each pool the fleet's `scaling`, below its own keys."""
        if not isinstance(values, Mapping) or not isinstance(values.get("pools"), Mapping | None):
            return values
        common = values.get("scaling", {})
        if isinstance(common, ScalingSettings):
            common = common.model_dump(exclude_unset=True)
        if not isinstance(common, Mapping):
            return values
        pools = {"default": {}} if values.get("pools") is None else values["pools"]
        shared: dict[Any, Any] = {}
        for name, pool in pools.items():
            own = {} if pool is None else pool
            if isinstance(own, Mapping) and isinstance(own.get("scaling", {}), Mapping):
                own = {**own, "scaling": merge_tables(common, own.get("scaling", {}))}
            shared[name] = own
        return {**values, "pools": shared}


def parse_fleet(text: str, source: str = "fleet.yaml") -> FleetSettings:
    """Settings from the text of a `fleet.yaml`.

    Args:
        text: YAML.
        source: named in errors.

    Raises:
        ConfigError: not YAML, an unknown key, or a value that is not allowed; says which and where.
    """
    values = parse_table(text, source, FleetSettings)
    try:
        return FleetSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from error


def load_fleet(path: Path) -> FleetSettings:
    """Settings from a `fleet.yaml`.

    Raises:
        ConfigError: as `parse_fleet`, and where the file cannot be read.
    """
    return parse_fleet(read_settings(path), str(path))


def _explain(error: ValidationError) -> str:
    problems = problems_of(error, FleetSettings)
    # What is wrong in the common `scaling` is wrong in each pool's; once is enough.
    common = {problem for problem in problems if problem.startswith("scaling")}
    shown = [p for p in problems if re.sub(r"^pools\.[^.]*\.", "", p) not in common or p in common]
    return "; ".join(shown[:_PROBLEMS_MAX])
