"""What a scan brought, how far it is, and how it can fail."""

from __future__ import annotations

from dataclasses import dataclass, field

from elastron.errors import (
    ConnectionLostError,
    DeadlineError,
    ElastronError,
    ProtocolError,
    RemoteError,
)
from elastron.mrd.image import Image
from elastron.wire.messages import Message


@dataclass(slots=True)
class Result:
    """What came back.

    Attributes:
        images: in their order of arrival; empty where `on_image` took them.
        image_count: images that came, kept or not.
        texts: what the server said to people and is no error.
        errors: errors the server reported.
        others: other messages (DICOM files, dependency queries, …); empty where `on_other` took
            them.
        bytes_sent: with all framing.
        bytes_received: likewise.
        seconds: from connecting to the server's CLOSE.
        first_image_seconds: from connecting to the first image; None without one.
    """

    images: list[Image] = field(default_factory=list)
    image_count: int = 0
    texts: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    others: list[Message] = field(default_factory=list)
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0
    first_image_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the sending is.

    Attributes:
        bytes_sent: so far, with all framing.
        readouts_sent: acquisitions sent so far.
        readouts_total: acquisitions of the scan; None where the source does not know.
        images_received: so far.
        seconds: since connecting.
        finished: everything was sent, CLOSE too; the server reconstructs.
        bytes_known: of the whole scan, where the source knows; else they are estimated.
    """

    bytes_sent: int
    readouts_sent: int
    readouts_total: int | None
    images_received: int
    seconds: float
    finished: bool = False
    bytes_known: int | None = None

    @property
    def rate(self) -> float:
        """Bytes per second, averaged."""
        return self.bytes_sent / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_total(self) -> int | None:
        """Bytes of the whole scan, if need be from the readouts so far; None where not known."""
        if self.finished or self.bytes_known is not None:
            return self.bytes_known or self.bytes_sent
        if not self.readouts_total or not self.readouts_sent:
            return None
        return round(self.bytes_sent * max(1.0, self.readouts_total / self.readouts_sent))

    @property
    def seconds_left(self) -> float | None:
        """Until everything is sent; None where not known."""
        total = self.bytes_total
        if total is None or not self.rate:
            return None
        return (total - self.bytes_sent) / self.rate


class UnfinishedScanError(ElastronError):
    """A scan did not end well.

    Attributes:
        result: what had come until then.
    """

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


class ScanRefusedError(UnfinishedScanError, RemoteError):
    """The server reported errors; they are in the message and in `result.errors`."""


class ScanLostError(UnfinishedScanError, ConnectionLostError):
    """The connection ended before the server's CLOSE."""


class ScanStalledError(UnfinishedScanError, DeadlineError):
    """Nothing moved for longer than allowed."""


class ScanGarbledError(UnfinishedScanError, ProtocolError):
    """The server sent bytes that are no message."""
