"""Scans as they came over the wire: what an archive keeps, to be sent once more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from elastron.errors import DataError, ElastronError
from elastron.wire import Buffer, encode
from elastron.wire.framing import Framer
from elastron.wire.messages import Close, ConfigName, ConfigXml, MessageId

#: Bytes read at a time.
_PIECE_BYTES = 1 << 20
_CLOSE_BYTES = 2
_CONFIGS = (MessageId.FILENAME, MessageId.CONFIG)


@dataclass(frozen=True, slots=True)
class RecordedScan:
    """A file with everything a client sent, from its config to its CLOSE.

    Attributes:
        path: of the file.
        readouts: acquisitions in it.
        complete: it ends with CLOSE; else the client went away, or sent what is no message, and
            only the whole messages before that can be sent again.
        parts: what of the file is sent: (start, stop), in order, config and CLOSE left out.
        config: the bytes of its own config message.
    """

    path: Path
    readouts: int
    complete: bool
    parts: tuple[tuple[int, int], ...] = field(repr=False)
    config: bytes = field(repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Look through a file.

        Raises:
            DataError: it cannot be read, or has no config and header.
        """
        path = Path(path)
        framer = Framer()
        readouts, header_seen, config = 0, False, None
        parts: list[tuple[int, int]] = []
        try:
            with path.open("rb") as file:
                for piece in _pieces(file.fileno(), 0, None):
                    framer.feed(piece)
                    try:
                        for frame in framer.frames():
                            if frame.message_id in _CONFIGS and config is None:
                                config = os.pread(file.fileno(), frame.length, frame.start)
                                continue
                            if frame.message_id == MessageId.CLOSE:
                                continue
                            header_seen = header_seen or frame.message_id == MessageId.HEADER
                            if frame.message_id == MessageId.ACQUISITION:
                                readouts += frame.count
                            _extend(parts, frame.start, frame.stop)
                    except ElastronError:
                        break  # all before it is whole
        except OSError as error:
            raise DataError(f"The scan {path} cannot be read: {error.strerror}.") from error
        if config is None or not header_seen:
            raise DataError(
                f"{path} is no recorded scan: it should begin with a config and an MRD header, as "
                "a Gadgetron client sends them. HDF5 files are for `elastron send`."
            )
        return cls(path, readouts, framer.closed, tuple(parts), config)

    @property
    def bytes(self) -> int:
        """What is sent of the file; with another config it is a little more or less."""
        return len(self.config) + sum(stop - start for start, stop in self.parts) + _CLOSE_BYTES

    def buffers(self, config: ConfigName | ConfigXml | None = None) -> Iterator[Buffer]:
        """The bytes to be sent, CLOSE included.

        Args:
            config: instead of the scan's own.

        Raises:
            OSError: the file cannot be read any more.
        """
        yield from [self.config] if config is None else encode(config)
        with self.path.open("rb") as file:
            for start, stop in self.parts:
                yield from _pieces(file.fileno(), start, stop)
        yield from encode(Close())


def _extend(parts: list[tuple[int, int]], start: int, stop: int) -> None:
    if parts and parts[-1][1] == start:
        parts[-1] = (parts[-1][0], stop)
    else:
        parts.append((start, stop))


def _pieces(fd: int, start: int, stop: int | None) -> Iterator[bytes]:
    while stop is None or start < stop:
        count = _PIECE_BYTES if stop is None else min(_PIECE_BYTES, stop - start)
        piece = os.pread(fd, count, start)
        if not piece:
            return
        start += len(piece)
        yield piece
