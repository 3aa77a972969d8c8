"""How supervisor, zygote and workers talk: JSON lines and file descriptors over UNIX sockets."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_RECEIVE_BYTES = 64 * 1024
_FDS_MAX = 4


@dataclass(frozen=True, slots=True)
class Letter:
    """One message and the descriptors that came with it (the receiver's to close)."""

    body: dict[str, Any]
    fds: list[int] = field(default_factory=list)


class Channel:
    """One end of a socket pair.

    Descriptors belong to the line they were sent with, provided that the peer sends no second
    line with descriptors before the first is answered; our protocol is made so.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._received = b""
        self._fds: list[int] = []
        self._letters: deque[Letter] = deque()

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return cls(one), cls(other)

    def fileno(self) -> int:
        """The descriptor, for pollers."""
        return self.socket.fileno()

    def send(self, body: dict[str, Any], fds: Iterable[int] = ()) -> None:
        """Send one line.

        Raises:
            OSError: the peer is gone.
        """
        data = json.dumps(body).encode() + b"\n"
        sent = socket.send_fds(self.socket, [data], list(fds))
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def receive(self) -> Letter | None:
        """The next line, or None when the peer is gone.

        Raises:
            BlockingIOError: nothing there yet, on a non-blocking socket.
        """
        while not self._letters:
            try:
                data, fds, _, _ = socket.recv_fds(self.socket, _RECEIVE_BYTES, _FDS_MAX)
            except ConnectionError:
                data, fds = b"", []
            self._fds.extend(fds)
            if not data:
                return None
            *lines, self._received = (self._received + data).split(b"\n")
            for line in lines:
                self._letters.append(Letter(json.loads(line), self._fds))
                self._fds = []
        return self._letters.popleft()

    def close(self) -> None:
        """Close this end; the peer sees the end of the stream."""
        self.socket.close()
