"""Settings of a node: every field says its meaning, its unit and why its default is what it is."""

from __future__ import annotations

import math
import os
from pathlib import Path

from pydantic import Field

from elastron.node.peer_settings import PeerSettings
from elastron.service.address import AddressText
from elastron.service.logs import LogFormat
from elastron.service.session_settings import SessionSettings
from elastron.wire import Limits

MIB = 2**20
GIB = 2**30


def available_cores() -> int:
    """Cores this process may use: its affinity, and its control group's quota if there is one."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass  # no cgroup v2, or no quota ("max")
    return max(1, cores)


class NodeSettings(SessionSettings):
    """What a node is told at its start. The environment and flags are read by the caller."""

    listen: AddressText = Field(
        "127.0.0.1:9002",
        description="HOST:PORT for scans. Plain TCP, so only loopback unless told otherwise; "
        "inside a cluster give 0.0.0.0:9002 and keep the network closed. Port 0: any free one.",
    )
    admin: AddressText | None = Field(
        "127.0.0.1:9080",
        description="HOST:PORT of the admin HTTP server; no password, so loopback. "
        "None: no admin server.",
    )
    capacity: int = Field(
        default_factory=available_cores,
        ge=1,
        le=4096,
        description="Sessions at once; more are refused. Default: one a core, because more than "
        "that only makes each of them slower.",
    )
    capabilities: frozenset[str] = Field(
        frozenset(),
        max_length=64,
        description="What chains find here beyond the common, e.g. `gpu`: the gateway sends scans "
        "that need it only to such nodes.",
    )
    warm_workers: int | None = Field(
        None,
        ge=0,
        description="Idle worker processes kept ready. None: as many as `capacity`, at most 2. "
        "When one is taken another is made, in milliseconds: at once if it was the last and a "
        "place is free, else when the session has run for a second or ends.",
    )
    config_folders: tuple[Path, ...] = Field(
        (), description="Folders with configs of your own, searched before the stock ones."
    )
    storage_url: str | None = Field(
        None,
        description="Base URL of the storage server for measurement dependencies. None: chains "
        "run without stored dependencies.",
    )
    peers: PeerSettings = Field(
        PeerSettings.model_validate({}),
        description="Other nodes, which work on parts of a scan; see PeerSettings.",
    )
    parameters: dict[str, str] = Field(
        default_factory=dict, description="Passed to gadgets, e.g. `dump_folder`."
    )
    threads_per_session: int | None = Field(
        None,
        ge=1,
        description="Threads for FFTs and over batches. None: the cores divided by the sessions "
        "running when one starts, less one for receiving: four share what a lone scan gets.",
    )
    limits: Limits = Field(
        default_factory=Limits,
        description="Most bytes or elements of each kind of message; reasons in elastron.wire.",
    )
    total_timeout_s: float = Field(
        12 * 3600, gt=0, description="Whole session; half a day, so that no worker is lost forever."
    )
    input_queue_bytes_max: int = Field(
        8 * MIB,
        ge=1,
        description="Received data that waits for the chain. Above it the node stops reading and "
        "TCP slows the sender. Room for what comes while one image is made: with half of it "
        "reader and chain waited for each other in turn.",
    )
    output_queue_bytes_max: int = Field(
        64 * MIB,
        ge=1,
        description="Results that wait for the client. Above it the chain waits; room for a client "
        "that sends its whole scan before it reads an image.",
    )
    session_memory_bytes_max: int | None = Field(
        None,
        ge=64 * MIB,
        description="Memory a session may add to its idle worker's; above it the session ends with "
        "an error. None: all of the machine or container, so that an absurd request is an error "
        "and not a kill.",
    )
    pending_connections_max: int = Field(
        256, ge=1, description="Connections that have not sent a byte yet; they hold no worker."
    )
    cancel_grace_s: float = Field(
        5,
        ge=0,
        description="After a cancel or a time-out: how long a session may take to say goodbye "
        "before its worker is killed.",
    )
    log_format: LogFormat = Field(
        LogFormat.AUTO, description="auto (console on a terminal, else JSON), console or json."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level that is logged."
    )

    @property
    def warm(self) -> int:
        """Idle workers to keep."""
        return min(self.capacity, 2) if self.warm_workers is None else self.warm_workers
