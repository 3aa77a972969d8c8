"""Images of finished scans whose clients left, kept for a while so that they can be fetched.

A client that means to leave asks for a ticket (QUERY `elastron::session`); whoever shows the
ticket gets the images. Tickets are secrets: they are told to that client alone and are in no
list and no log. All in the gateway's event loop; time is monotonic seconds.
"""

from __future__ import annotations

import contextlib
import enum
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field

from elastron.gateway.recording import Recording

_GIB = 2**30
#: Of the journal, that kept images may take.
_SHARE = 1 / 4
#: Random bytes of a ticket: 128 bits.
_SECRET_BYTES = 16
#: Tickets remembered after their images are gone, so that "too late" is told from "never seen".
_GONE_MAX = 10_000


class ResultsSettings(BaseModel):
    """Images kept for clients that left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retain_s: float = Field(
        3600, ge=0, description="How long images wait for their client after the scan's end."
    )
    bytes_max: int | None = Field(
        None,
        ge=0,
        description="Images of all such scans together; above it the oldest go first. They lie in "
        "the journal, where running scans need the room. None: a quarter of what it may take.",
    )
    tickets_max: int = Field(
        10_000,
        ge=1,
        description="Running and kept scans with a ticket at once; further clients get none.",
    )


class Standing(enum.Enum):
    """Where a ticket's scan stands."""

    RUNNING = "running"
    FINISHED = "finished"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Result:
    """A ticket and, once the scan has ended, its images.

    Attributes:
        session: id of the session, as in logs.
        outcome: of the scan; empty while it runs.
        images: in the recording.
        recording: the whole output, raw wire bytes; None while the scan runs, and once expired.
        expires: when it may go (monotonic, s).
        readers: fetches that run; it does not go before them.
    """

    session: str
    secret: str
    standing: Standing = Standing.RUNNING
    outcome: str = ""
    images: int = 0
    recording: Recording | None = None
    finished: float = 0.0
    expires: float = 0.0
    readers: int = 0

    @property
    def size(self) -> int:
        """Bytes kept."""
        return 0 if self.recording is None else self.recording.content_bytes

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep it while somebody fetches it."""
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1


class Results:
    """Tickets and kept images.

    Args:
        settings: limits.
        clock: monotonic seconds.
        journal_bytes: what the journal may take, memory and disk.

    Attributes:
        bytes_max: of all kept images.
    """

    def __init__(
        self,
        settings: ResultsSettings,
        clock: Callable[[], float] = time.monotonic,
        *,
        journal_bytes: int = _GIB,
    ) -> None:
        self.settings = settings
        share = int(journal_bytes * _SHARE)
        self.bytes_max = share if settings.bytes_max is None else settings.bytes_max
        self._clock = clock
        self._log = structlog.get_logger()
        # By session id; kept ones in the order in which they ended.
        self._results: OrderedDict[str, Result] = OrderedDict()
        self._gone: OrderedDict[str, str] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Of all kept images."""
        return sum(result.size for result in self._results.values())

    def issue(self, session: str) -> str | None:
        """The ticket of a running session; the same one each time it is asked for.

        Returns:
            The ticket; None if there are too many.
        """
        result = self._results.get(session)
        if result is None:
            if len(self._results) >= self.settings.tickets_max:
                return None
            result = Result(session, secrets.token_urlsafe(_SECRET_BYTES))
            self._results[session] = result
        return f"{session}-{result.secret}"

    def wanted(self, session: str) -> bool:
        """A ticket was issued: the session's output is to be recorded."""
        return session in self._results

    def discard(self, session: str) -> None:
        """The client got everything, or the session came to nothing: there is nothing to keep."""
        result = self._results.get(session)
        if result is not None and result.standing is Standing.RUNNING:
            self._remove(result)

    def keep(self, session: str, recording: Recording, *, outcome: str, images: int) -> bool:
        """The scan has ended and its client is gone: keep its output.

        Args:
            session: its id.
            recording: all of its output; closed here when it goes.
            outcome: of the scan.
            images: in the recording.

        Returns:
            Whether it is kept; else (no ticket, or larger than all that may be kept) it is closed.
        """
        result = self._results.get(session)
        if result is None:
            recording.close()
            return False
        now = self._clock()
        result.recording, result.outcome, result.images = recording, outcome, images
        result.standing = Standing.FINISHED
        result.finished, result.expires = now, now + self.settings.retain_s
        self._results.move_to_end(session)
        self.expire()
        kept = session in self._results
        if not kept:
            self._log.warning(
                "images not kept: they are larger than all results may be",
                session=session,
                bytes_max=self.bytes_max,
            )
        return kept

    def find(self, ticket: str) -> tuple[Standing, Result | None]:
        """What a ticket stands for; needs the whole secret."""
        self.expire()
        session, _, secret = ticket.partition("-")
        result = self._results.get(session)
        if result is not None and _same(result.secret, secret):
            return result.standing, result
        if _same(self._gone.get(session, ""), secret):
            return Standing.EXPIRED, None
        return Standing.UNKNOWN, None

    def describe(self) -> list[dict[str, Any]]:
        """What is kept, for `/results`: no tickets."""
        self.expire()
        now = self._clock()
        return [
            {
                "session": result.session,
                "state": result.standing.value,
                "outcome": result.outcome or None,
                "images": result.images,
                "bytes": result.size,
                "expires_s": round(result.expires - now, 1) if result.recording else None,
            }
            for result in self._results.values()
        ]

    def expire(self) -> None:
        """Let go what is too old or too much; called at every use, and now and then."""
        now = self._clock()
        kept = [each for each in self._results.values() if each.recording is not None]
        total = sum(each.size for each in kept)
        for result in kept:
            old = now >= result.expires
            if (old or total > self.bytes_max) and not result.readers:
                total -= result.size
                self._remove(result)

    def close(self) -> None:
        """Let go everything."""
        for result in list(self._results.values()):
            self._remove(result)

    def _remove(self, result: Result) -> None:
        del self._results[result.session]
        self._gone[result.session] = result.secret
        if len(self._gone) > _GONE_MAX:
            self._gone.popitem(last=False)
        if result.recording is not None:
            result.recording.close()
            result.recording = None
        result.standing = Standing.EXPIRED


def _same(known: str, shown: str) -> bool:
    """In time that tells nothing of where they differ."""
    return bool(known) and hmac.compare_digest(known.encode(), shown.encode())
