"""Settings of a gateway: every field says its meaning, its unit and the default's reason."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from elastron.gateway.archive import ArchiveSettings
from elastron.gateway.nodes import RegistrySettings
from elastron.gateway.placement import PlacementSettings
from elastron.gateway.pools import PoolRule
from elastron.gateway.results import ResultsSettings
from elastron.gateway.tls import TlsSettings
from elastron.service.address import AddressText
from elastron.service.logs import LogFormat
from elastron.service.session_settings import SessionSettings
from elastron.wire import Limits

MIB = 2**20
GIB = 2**30


class WhenFull(StrEnum):
    """What becomes of a scan when neither memory nor disk can keep more of it."""

    REFUSE = "refuse"  # it ends with an error
    UNPROTECTED = "unprotected"  # it goes on; should its node fail, it is lost


def _quarter_of_memory() -> int:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(max(pages // 4, 256 * MIB), 4 * GIB)


class JournalSettings(BaseModel):
    """Where the gateway keeps running scans, so that another node can begin them anew."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_bytes_max: int = Field(
        default_factory=_quarter_of_memory,
        ge=8 * MIB,
        description="All scans together; beyond it they go on to disk. Default: a quarter of the "
        "machine's memory, at most 4 GiB. Not taken before it is needed.",
    )
    spare_bytes_max: int = Field(
        64 * MIB,
        ge=0,
        description="Memory kept for the next scans however long none comes; of more, half goes "
        "back to the system every three minutes. Fresh memory costs as much time as receiving.",
    )
    folder: Path | None = Field(
        None,
        description="Folder for what does not fit the memory, on a disk and not in memory itself; "
        "its files have no names, so nothing stays when a gateway dies. None: no disk is used.",
    )
    disk_bytes_max: int = Field(
        64 * GIB, ge=0, description="All scans together. Several long scans of a busy scanner."
    )
    when_full: WhenFull = Field(
        WhenFull.UNPROTECTED,
        description="Neither memory nor disk is left, and no other scan will free any: "
        "`unprotected` lets the scan go on without a copy of what its node has; `refuse` ends it "
        "with an error.",
    )
    room_timeout_s: float = Field(
        120,
        gt=0,
        description="How long a scan is held back for others to end and free room, before "
        "`when_full` applies.",
    )


class GatewaySettings(SessionSettings):
    """What a gateway is told at its start. The environment and flags are read by the caller."""

    listen: AddressText | None = Field(
        "127.0.0.1:9002",
        description="HOST:PORT for scans. Plain TCP, so only loopback unless told otherwise; "
        "inside a cluster give 0.0.0.0:9002 and keep the network closed. Port 0: any free one. "
        "None: TLS only.",
    )
    tls: tuple[TlsSettings, ...] = Field((), description="TLS listeners besides.")
    admin: AddressText | None = Field(
        "127.0.0.1:9080",
        description="HOST:PORT of the admin HTTP server; no password, so loopback. "
        "None: no admin server.",
    )
    registry: RegistrySettings = Field(
        RegistrySettings.model_validate({}), description="Which nodes there are."
    )
    placement: PlacementSettings = Field(
        PlacementSettings.model_validate({}), description="Who waits how long for a node."
    )
    pools: tuple[PoolRule, ...] = Field((), description="Which scans go to which nodes.")
    journal: JournalSettings = Field(
        JournalSettings.model_validate({}), description="What keeps scans from being lost."
    )
    archive: ArchiveSettings = Field(
        ArchiveSettings.model_validate({}), description="Which scans are kept after their end."
    )
    results: ResultsSettings = Field(
        ResultsSettings.model_validate({}), description="Images kept for clients that left."
    )
    limits: Limits = Field(
        default_factory=Limits,
        description="Most bytes or elements of each kind of message; reasons in elastron.wire.",
    )
    crashes_max: int = Field(
        3,
        ge=1,
        description="Nodes on which the process at work on a scan may die before its client is "
        "told: a scan that kills every node it meets must not take down the fleet.",
    )
    attempts_max: int = Field(
        6,
        ge=1,
        description="Nodes that may fail in any way with one scan before its client is told; in "
        "a rolling restart a scan can meet several.",
    )
    connect_timeout_s: float = Field(
        5, gt=0, description="For a connection to a node; one in the same network takes a ms."
    )
    stall_timeout_s: float = Field(
        3600,
        gt=0,
        description="A node that answers, but neither takes data that wait for it nor sends any "
        "for so long, is given up. Long steps of a reconstruction do that for minutes; nodes that "
        "hang or are cut off are found much sooner, as they do not answer the registry.",
    )
    total_timeout_s: float = Field(
        24 * 3600, gt=0, description="Whole session, waiting included: a day, so that none stays."
    )
    output_bytes_max: int = Field(
        64 * MIB,
        ge=1,
        description="Images of one scan that wait for a slow client. Above it the gateway reads no "
        "more from the node, unless a message is not whole yet.",
    )
    pending_connections_max: int = Field(
        4096,
        ge=1,
        description="Connections that have not sent a byte yet. Above it the one that has been "
        "silent longest is closed, so that a flood of them keeps no scanner out.",
    )
    sessions_max: int = Field(
        4096, ge=1, description="Scans that run or wait at once; more are refused."
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="auto (console on a terminal, else JSON), console or json."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level that is logged."
    )
