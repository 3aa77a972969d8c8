"""Kinds of values in `fleet.yaml`: names, times, cron expressions, buffers."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

NODES_MAX = 10_000


def _check_cron(text: str) -> str:
    if len(text.split()) != 5:
        raise ValueError("a cron expression has five fields: minute hour day month weekday")
    try:
        # An expression such as "0 0 31 2 *" parses, but never fires.
        next(CronSim(text, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"not a cron expression: {error}") from error
    except StopIteration as never:
        raise ValueError("this cron expression never fires") from never
    return text


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name of a folder of zones
        raise ValueError(f"no time zone {name!r}; write one as 'Europe/Berlin'") from error
    return name


def _check_pool_name(name: str) -> str:
    # It becomes part of names in Kubernetes and a label of metrics.
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
        raise ValueError("a pool's name has 1 to 40 small letters, digits and inner hyphens")
    return name


class Buffer(BaseModel):
    """Nodes kept warm beside those that the demand needs: a number, or a share of those."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: int = Field(default=0, ge=0, le=NODES_MAX, description="So many, whatever the demand.")
    percent: float = Field(
        default=0,
        ge=0,
        le=1000,
        description="This share of the nodes that the demand needs, rounded up.",
    )

    def beside(self, needed: int) -> int:
        """Nodes to keep warm when the demand needs `needed`."""
        # A hair less, or 10 % of 30 would be 4.
        return self.nodes + math.ceil(needed * self.percent / 100 - 1e-9)

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.percent else str(self.nodes)


def _read_buffer(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return Buffer(nodes=value)
    if isinstance(value, str) and re.fullmatch(r"\d{1,5}", value):
        return Buffer(nodes=int(value))
    if isinstance(value, str) and re.fullmatch(r"\d{1,4}(\.\d+)?\s*%", value):
        return Buffer(percent=float(value.rstrip("%")))
    if isinstance(value, Buffer):
        return value
    raise ValueError("a number of nodes, such as 2, or a share, such as 20%")


Cron = Annotated[str, AfterValidator(_check_cron)]
TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
BufferText = Annotated[Buffer, BeforeValidator(_read_buffer), PlainSerializer(str)]
PoolName = Annotated[str, AfterValidator(_check_pool_name)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=128)]
