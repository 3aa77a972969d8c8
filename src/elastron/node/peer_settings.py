"""Settings of a node about other nodes, which work on parts of its scans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from elastron.errors import ConfigError
from elastron.pipeline import DistributionLimits
from elastron.service.workers import format_workers

MIB = 2**20
GIB = 2**30


def _checked(text: str) -> str:
    try:
        format_workers([text])
    except ConfigError as error:
        raise ValueError(f"{text!r} is not HOST:PORT, e.g. node-2:9002 or [::1]:9002") from error
    return text


class PeerSettings(BaseModel):
    """Which nodes work on parts of a scan (`<distributed>`, `<puredistributed>`), and how far.

    Of the three ways to know them the first that is set is used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    addresses: tuple[Annotated[str, AfterValidator(_checked)], ...] = Field(
        (), description="HOST:PORT of each node; any server of the Gadgetron protocol."
    )
    gateway_admin: str | None = Field(
        None,
        description="URL of the gateway's admin server, e.g. http://gateway:9080: its ready nodes, "
        "least loaded first, asked for again while a scan runs.",
    )
    command: str | None = Field(
        None,
        description='A command that prints ["HOST:PORT", ...]; run without a shell. On the command '
        "line of a node it is GADGETRON_REMOTE_WORKER_COMMAND, as for a Gadgetron.",
    )
    discovery_timeout_s: float = Field(
        10, gt=0, description="For the gateway's answer or the command's end."
    )
    discovery_pause_s: float = Field(
        2,
        ge=0,
        description="The gateway or the command is asked again after so long at the earliest, "
        "while parts wait: a fleet that grows is used within seconds.",
    )
    connect_timeout_s: float = Field(
        3, gt=0, description="For connecting to a node; then the next one is tried."
    )
    silence_timeout_s: float = Field(
        900,
        gt=0,
        description="No byte from or to a node for so long, and it counts as lost. Reconstructions "
        "are silent while they compute, so be generous; a node that vanished is noticed sooner.",
    )
    idle_s: float = Field(
        10,
        gt=0,
        description="A part that got no data for so long is taken for complete: its node works and "
        "is free again. Should data follow, the part is worked on once more.",
    )
    wait_s: float = Field(
        120, ge=0, description="Longest wait for a node, when a part cannot be worked on here."
    )
    memory_bytes_max: int = Field(
        256 * MIB,
        ge=0,
        description="Data of one scan kept in memory until the results are there, in case a node "
        "is lost. Beyond it they go to temporary files.",
    )
    disk_bytes_max: int = Field(64 * GIB, ge=0, description="The same, in temporary files.")
    results_bytes_max: int = Field(
        256 * MIB,
        ge=1,
        description="Results that wait for those of earlier parts; beyond it the nodes wait.",
    )
    folder: Path | None = Field(
        None, description="For temporary files. None: the system's (TMPDIR)."
    )

    @property
    def limits(self) -> DistributionLimits:
        """What the pipeline is to keep to."""
        return DistributionLimits(
            memory_bytes_max=self.memory_bytes_max,
            disk_bytes_max=self.disk_bytes_max,
            results_bytes_max=self.results_bytes_max,
            idle_s=self.idle_s,
            wait_s=self.wait_s,
            folder=self.folder,
        )
