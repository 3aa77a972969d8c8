"""Settings of a sidecar: every field says its meaning, unit and why its default is what it is."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from elastron.service.address import AddressText
from elastron.service.logs import LogFormat

MIB = 2**20


class SidecarSettings(BaseModel):
    """What a sidecar is told at its start. The environment and flags are read by the caller."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: AddressText = Field(
        "127.0.0.1:9002",
        description="HOST:PORT of the Gadgetron; in the same network namespace, i.e. the same pod.",
    )
    admin: AddressText = Field(
        "127.0.0.1:9080",
        description="HOST:PORT of the admin HTTP server; no password, so loopback. In a pod "
        "0.0.0.0:9080, with the network closed.",
    )
    capacity: int = Field(
        1,
        ge=1,
        le=4096,
        description="Scans at once. The Gadgetron itself knows no limit and a scan uses all its "
        "cores, so one.",
    )
    capabilities: frozenset[str] = Field(
        frozenset(),
        max_length=64,
        description="What chains find there beyond the common, e.g. `gpu`.",
    )
    memory_bytes: int | None = Field(
        None,
        ge=64 * MIB,
        description="Memory of the Gadgetron for all its scans. None: not told, as this process "
        "does not see the limit of another container.",
    )
    log: Path | None = Field(
        None,
        description="The Gadgetron's log, appended to by it or by `tee -a`. None: reconstructions "
        "are counted by their connections, which misses those shorter than `settle_s`.",
    )
    log_bytes_max: int = Field(
        64 * MIB,
        ge=4096,
        description="The log is emptied when it has grown beyond; a pod's volume is small, and "
        "what counts has been counted. The container's own log has every line too.",
    )
    gateway: str | None = Field(
        None,
        description="URL of the gateway's admin server, asked for other nodes. None: a Gadgetron "
        "that shares a scan out works alone.",
    )
    own_host: str | None = Field(
        None,
        description="Host by which the gateway knows this node: it is never its own worker. "
        "None: the address from which the gateway is reached.",
    )
    gateway_timeout_s: float = Field(
        3,
        gt=0,
        description="For its answer; the Gadgetron waits for it at the start of a scan, and would "
        "wait for ever.",
    )
    probe_interval_s: float = Field(
        5,
        gt=0,
        description="Between two questions to the Gadgetron; each costs it a process and two lines "
        "of log.",
    )
    probe_timeout_s: float = Field(
        5, gt=0, description="For its answer. A machine that computes at its limit needs a while."
    )
    look_interval_s: float = Field(
        1,
        gt=0,
        description="Between two looks at connections and log. A look takes the kernel some "
        "milliseconds, as it walks through the machine's whole table.",
    )
    settle_s: float = Field(
        1,
        ge=0,
        description="A connection as old as this is a scan. Questions and health checks are "
        "shorter.",
    )
    quiet_s: float = Field(
        2,
        ge=0,
        description="Drained is a Gadgetron without a connection for so long: some may be on their "
        "way when a pod leaves its service.",
    )
    drain_timeout_s: float = Field(
        3600,
        ge=0,
        description="How long a drain waits for running scans. Keep it below the pod's termination "
        "grace.",
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="auto (console on a terminal, else JSON), console or json."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level that is logged."
    )
