"""How the gateway finds nodes and asks them how they are."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RegistrySettings(BaseModel):
    """How nodes are found and asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: tuple[str, ...] = Field(
        (),
        description="Where nodes are: HOST:PORT[/ADMIN-PORT][@POOL], "
        "dns:NAME:PORT[/ADMIN-PORT][@POOL], "
        "kubernetes:SERVICE[.NAMESPACE][:PORT[/ADMIN-PORT]][@POOL], file:PATH. Several may be "
        "given; a node found twice counts once.",
    )
    capacity_assumed: int = Field(
        1,
        ge=1,
        le=4096,
        description="Scans at once on a node that does not tell its capacity, such as an upstream "
        "Gadgetron. One, as more only makes each of them slower.",
    )
    resolve_interval_s: float = Field(
        2, gt=0, description="How often DNS names are resolved; cluster DNS caches for 5 s or more."
    )
    poll_interval_s: float = Field(
        1, gt=0, description="How often a node's admin server is asked how the node is."
    )
    query_interval_s: float = Field(
        5,
        gt=0,
        description="The same for nodes without an admin server: each question over the Gadgetron "
        "protocol takes a session there.",
    )
    start_interval_s: float = Field(
        0.2,
        gt=0,
        description="The same for a node that is starting, and for one whose last place another "
        "gateway took: somebody may wait for it.",
    )
    polls_per_second_max: float = Field(
        100,
        gt=0,
        description="Questions a second to all nodes together; a fleet of more than so many is "
        "asked less often. One costs one to two milliseconds of a core.",
    )
    poll_timeout_s: float = Field(
        1.5,
        gt=0,
        description="For one answer. Two missed ones make a node dead, so a stopped node is "
        "noticed within `poll_interval_s` and twice this.",
    )
    polls_at_once_max: int = Field(
        64, ge=1, description="Questions at once; bounds descriptors when many nodes hang."
    )
    failures_max: int = Field(
        2, ge=1, description="Answers in a row that must be missing before a node counts as dead."
    )
    back_off_s: float = Field(
        0.5, gt=0, description="First pause before a dead node is asked again; doubled each time."
    )
    back_off_s_max: float = Field(
        15,
        gt=0,
        description="Longest pause: how late a node that has come back may be noticed.",
    )
    avoid_s: float = Field(
        10,
        ge=0,
        description="A node where a scan met a fault is the last choice for so long; doubled with "
        "each further fault, up to ten minutes, until a scan succeeds there.",
    )
    start_s_max: float = Field(
        120,
        gt=0,
        description="A node that has never answered counts as starting for so long, then as dead.",
    )
    nodes_max: int = Field(
        5000, ge=1, description="Most nodes; a mistake in DNS must not flood the network."
    )
    start_wait_s: float = Field(
        1, ge=0, description="How long the start waits for first answers before scans are taken."
    )
