"""What a session has done so far, in a page of memory shared by worker and supervisor.

The worker writes, the supervisor reads whenever somebody asks: no message is sent for it, and
the figures outlive a worker that crashes.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from enum import IntEnum

_NAME_BYTES = 256
_COUNTER = struct.Struct("=Q")


class SessionState(IntEnum):
    """States of a session, as logged; WAITING and LINGER are our own."""

    WAITING = 0
    CONFIG = 1
    HEADER = 2
    STREAM = 3
    VOID = 4
    FINISHED = 5
    LINGER = 6

    @property
    def running(self) -> bool:
        """It takes one of the node's places."""
        return self < SessionState.FINISHED


class _Counter:
    """A 64-bit number at a fixed place; one aligned store, so never half written."""

    def __init__(self, index: int) -> None:
        self._offset = index * _COUNTER.size

    def __get__(self, board: Scoreboard, owner: type) -> int:
        return _COUNTER.unpack_from(board.page, self._offset)[0]

    def __set__(self, board: Scoreboard, value: int) -> None:
        _COUNTER.pack_into(board.page, self._offset, value)


class Scoreboard:
    """One session's figures.

    Attributes:
        bytes_in, bytes_out: on the wire.
        acquisitions: readouts received.
        images: images sent.
        writing: 1 while a message is half sent, so that nobody else may write to the socket.
    """

    _state = _Counter(0)
    writing = _Counter(1)
    bytes_in = _Counter(2)
    bytes_out = _Counter(3)
    acquisitions = _Counter(4)
    images = _Counter(5)
    _name_bytes = _Counter(6)
    _NAME_AT = 64

    def __init__(self, fd: int | None = None) -> None:
        """Map the page behind `fd`, or a new one. Takes over `fd`."""
        if fd is None:
            fd = _new_page()
        self.fd = fd
        self.page = mmap.mmap(fd, mmap.PAGESIZE)

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return SessionState(self._state)

    @state.setter
    def state(self, state: SessionState) -> None:
        self._state = state.value

    @property
    def config_name(self) -> str:
        """Name of the config asked for; empty before that."""
        length = min(self._name_bytes, _NAME_BYTES)
        return self.page[self._NAME_AT : self._NAME_AT + length].decode(errors="replace")

    @config_name.setter
    def config_name(self, name: str) -> None:
        encoded = name.encode(errors="replace")[:_NAME_BYTES]
        self.page[self._NAME_AT : self._NAME_AT + len(encoded)] = encoded
        self._name_bytes = len(encoded)

    def close(self) -> None:
        """Unmap and close."""
        self.page.close()
        os.close(self.fd)


def _new_page() -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("elastron-session", os.MFD_CLOEXEC)
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, mmap.PAGESIZE)
    return fd
