"""Scans and images kept on disk, as they came over the wire.

One folder a scan, `<time>-<session>`, with `scan.mrd-stream` (what the client sent),
`images.mrd-stream` (what it was sent) and `meta.json`. A scan is written beside and renamed when
whole, so that who reads the archive never sees half of one. A full disk costs the archive a scan,
never the gateway.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field

from elastron.gateway.recording import Recording

_GIB = 2**30

SCAN = "scan.mrd-stream"
IMAGES = "images.mrd-stream"
META = "meta.json"
_VERSION = 1
_PARTIAL = ".partial-"
#: A partial folder nobody has written to for so long was left by a gateway that died.
_STALE_S = 3600.0
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9A-Za-z_-]{1,64}")
_META_BYTES_MAX = 1 << 20


class Keep(StrEnum):
    """Which scans are archived."""

    OFF = "off"
    FAILED = "failed"
    ALL = "all"


class ArchiveSettings(BaseModel):
    """Which scans are kept, where, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: Keep = Field(
        Keep.OFF,
        description="off; failed (scans whose client did not get all images); or all. Off by "
        "default: raw data are patients' data, and whoever keeps them must want to.",
    )
    folder: Path = Field(
        Path("archive"),
        description="Where scans are kept; made if need be, readable by nobody else.",
    )
    retain_s: float = Field(
        7 * 86400, gt=0, description="Older scans are deleted. A week: time to look into a failure."
    )
    bytes_max: int = Field(
        100 * _GIB, ge=0, description="All scans together; above it the oldest are deleted."
    )
    free_bytes_min: int = Field(
        2 * _GIB,
        ge=0,
        description="A scan that would leave less room on the disk is not archived: the journal "
        "may lie there too.",
    )
    sweep_s: float = Field(
        600, gt=0, description="How often old scans are looked for, besides at every new one."
    )
    deidentify: bool = Field(
        False,
        description="Leave out what names the patient; the list is in docs/how-to/archive.md.",
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One archived scan.

    Attributes:
        name: of its folder, and its ID.
        path: of its folder.
        bytes: of all its files.
        time: when it was archived, POSIX seconds.
        meta: what `meta.json` says.
    """

    name: str
    path: Path
    bytes: int
    time: float
    meta: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        """For lists; nothing of the patient."""
        return {"id": self.name, "bytes": self.bytes, **self.meta}


class Archive:
    """The archive folder.

    Args:
        settings: what to keep for how long.
        clock: POSIX seconds.
        on_done: told of each scan that was to be archived, whether it was.
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        clock: Callable[[], float] = time.time,
        on_done: Callable[[bool], None] = lambda ok: None,
    ) -> None:
        self.settings = settings
        self.bytes = 0
        self._clock = clock
        self._on_done = on_done
        self._log = structlog.get_logger()
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Something may be archived."""
        return self.settings.keep is not Keep.OFF

    @property
    def records_images(self) -> bool:
        """Every session's output is to be recorded, for the archive."""
        return self.settings.keep is Keep.ALL

    def wants(self, outcome: str) -> bool:
        """Whether a scan that ended so is archived."""
        keep = self.settings.keep
        return keep is Keep.ALL or (keep is Keep.FAILED and outcome != "ok")

    async def start(self) -> None:
        """Make the folder and begin to look for old scans."""

    async def stop(self) -> None:
        """Look no more."""

    async def keep(
        self,
        session: str,
        meta: Mapping[str, Any],
        incoming: Recording,
        outgoing: Recording | None,
        outcome: str,
    ) -> str | None:
        """Archive a scan, if scans that end so are.

        Args:
            session: its id.
            meta: for `meta.json`: what `/sessions` tells, no patient data.
            incoming: what the client sent.
            outgoing: what it was sent; None if that was not recorded.
            outcome: `ok`, or how it failed.

        Returns:
            The entry's name; None if there is none. Nothing is raised: a full disk is logged.
        """
        return None
