"""Which scans are kept on disk, and for how long; off unless somebody wants it.

What is written, and how, is in `archive_folder`. Archiving happens after a scan has ended, in
threads; a full disk costs the archive a scan, never the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field

from elastron.errors import ElastronError
from elastron.gateway.archive_folder import IMAGES, SCAN, ArchiveFolder, Draft, entry_name
from elastron.gateway.deidentify import CleanStream, Deidentifier
from elastron.gateway.recording import Recording

_GIB = 2**30
_META_VERSION = 1


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


class NotArchivedError(ElastronError):
    """A scan that cannot be archived, and why."""


class Archive:
    """The archive, as the gateway uses it.

    Args:
        settings: what to keep for how long.
        clock: POSIX seconds.
        on_done: told of each scan that was to be archived, whether it was.

    Attributes:
        bytes: in the folder, as far as known.
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        clock: Callable[[], float] = time.time,
        on_done: Callable[[bool], None] = lambda ok: None,
    ) -> None:
        self.settings = settings
        self.folder = ArchiveFolder(settings.folder)
        self.bytes = 0
        self._clock = clock
        self._on_done = on_done
        self._log = structlog.get_logger()
        self._coming = 0  # bytes of scans that are being written
        self._room = asyncio.Lock()
        self._deidentifier: Deidentifier | None = None
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
        """Make the folder and begin to look for old scans.

        Raises:
            ElastronError: the folder cannot be made, or not be written to.
        """
        if not self.active:
            return
        try:
            await asyncio.to_thread(self._prepare)
        except OSError as error:
            raise ElastronError(
                f"The archive folder {self.settings.folder} cannot be used: {error.strerror}. "
                "Name another with archive.folder, or switch the archive off."
            ) from error
        await self._make_room(0)
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Look for old scans no more."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
            self._sweeping = None

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
        if not self.wants(outcome):
            return None
        size = incoming.content_bytes + (0 if outgoing is None else outgoing.content_bytes)
        name = entry_name(session, self._clock())
        self._coming += size
        try:
            await self._check_room(size)
            await self._write(
                name, {**meta, "session": session, "outcome": outcome}, incoming, outgoing
            )
        except Exception as error:  # whatever it is, the session must come to its end
            reason = str(error)
            if isinstance(error, OSError):
                reason = error.strerror or type(error).__name__
            unexpected = not isinstance(error, (OSError, ElastronError))
            self._log.warning(
                "scan not archived", session=session, reason=reason, exc_info=unexpected
            )
            self._on_done(False)
            return None
        finally:
            self._coming -= size
        with contextlib.suppress(OSError):  # those written meanwhile count, too
            await self._make_room(0)
        self._log.info("scan archived", session=session, archive=name, outcome=outcome)
        self._on_done(True)
        return name

    def _prepare(self) -> None:
        self.folder.make()
        if self.settings.deidentify:
            self._deidentifier = Deidentifier(self.folder.key())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.settings.sweep_s)
            try:
                await self._make_room(0)
            except OSError as error:
                self._log.warning("cannot look for old archived scans", reason=error.strerror)

    async def _make_room(self, room: int) -> None:
        async with self._room:
            self.bytes, removed = await asyncio.to_thread(
                self.folder.make_room,
                now=self._clock(),
                retain_s=self.settings.retain_s,
                bytes_max=self.settings.bytes_max,
                room=room,
            )
        if removed:
            self._log.info("old archived scans deleted", scans=len(removed))

    async def _check_room(self, size: int) -> None:
        if size > self.settings.bytes_max:
            raise NotArchivedError(
                f"it has {size} bytes, more than the whole archive may have "
                f"(archive.bytes_max, {self.settings.bytes_max})"
            )
        await self._make_room(self._coming)
        free = await asyncio.to_thread(self.folder.free_bytes)
        if free - self._coming < self.settings.free_bytes_min:
            raise NotArchivedError(
                f"the disk would have less than {self.settings.free_bytes_min} bytes left "
                "(archive.free_bytes_min); make room, or archive for a shorter time"
            )

    async def _write(
        self,
        name: str,
        meta: Mapping[str, Any],
        incoming: Recording,
        outgoing: Recording | None,
    ) -> None:
        draft = await asyncio.to_thread(self.folder.draft, name)
        try:
            left_out: Counter[str] = Counter()
            left_out += await self._copy(draft, SCAN, incoming)
            if outgoing is not None:
                left_out += await self._copy(draft, IMAGES, outgoing)
            now = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
            facts = {
                "version": _META_VERSION,
                "archived": now.isoformat(timespec="seconds"),
                "deidentified": self._deidentifier is not None,
                **({"left_out": dict(left_out)} if left_out else {}),
            }
            await asyncio.to_thread(draft.commit, {**meta, **facts})
        finally:
            await asyncio.to_thread(draft.discard)

    async def _copy(self, draft: Draft, file_name: str, recording: Recording) -> Counter[str]:
        """Write one stream; what of it was left out."""
        clean = None if self._deidentifier is None else CleanStream(self._deidentifier)
        file = await asyncio.to_thread(draft.open, file_name)
        try:
            async for piece in recording.pieces():
                buffers = [piece] if clean is None else clean.feed(piece)
                await asyncio.to_thread(draft.write, file, buffers)
            if clean is not None:
                clean.eof()
            await asyncio.to_thread(draft.finish, file)
        finally:
            with contextlib.suppress(OSError):  # what it still held: the disk is full
                file.close()
        return Counter() if clean is None else clean.left_out
