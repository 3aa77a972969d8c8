"""Links to other nodes, over TCP, and who they are."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from elastron.errors import ConnectError, ConnectionLostError, DeadlineError, ElastronError
from elastron.node.peer_settings import PeerSettings
from elastron.service.listening import peer_name, tune
from elastron.service.workers import command_workers, gateway_workers
from elastron.wire import Buffer, Decoder, Limits
from elastron.wire.messages import Close, Message

_VECTOR_MAX = 1024  # buffers in one system call (IOV_MAX)
#: What was discovered is believed for so long when asking again fails.
_BELIEVED_S = 60.0
#: SO_LINGER on, 0 s: closing resets the connection, so that the peer stops its work.
_RESET = struct.pack("ii", 1, 0)


def own_address(sock: socket.socket) -> str | None:
    """Where others reach us: where the client of `sock` did. None if that is not TCP."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return peer_name(sock.getsockname())


class TcpPeers:
    """The other nodes of a session.

    Args:
        settings: of the node.
        own: our own address as others know it; never listed.
        limits: on messages.
        log: of the session.
    """

    def __init__(self, settings: PeerSettings, own: str | None, limits: Limits, log: Any) -> None:
        self.limits = settings.limits
        self._settings = settings
        self._own = own
        self._wire_limits = limits
        self._log = log
        self._lock = threading.Lock()
        self._found: list[str] = []
        self._asked: float | None = None
        self._asking = False
        self._found_at = float("-inf")
        self._warned = ""

    def discover(self) -> Sequence[str]:
        """Peers that were ready a moment ago, best first.

        Only the first call waits for the answer; later ones ask again in the background now and
        then, so that a gateway that is slow or gone does not hold up what goes on with its nodes.
        """
        with self._lock:
            if self._asked is None:
                self._ask()
                self._asked = time.monotonic()
            elif not self._asking and self._due(self._asked):
                self._asking = True
                threading.Thread(target=self._ask_again, name="discovery", daemon=True).start()
            return list(self._found)

    def _due(self, asked: float) -> bool:
        return time.monotonic() - asked >= self._settings.discovery_pause_s

    def _ask_again(self) -> None:
        try:
            self._ask()
        finally:
            self._asked = time.monotonic()
            self._asking = False

    def connect(self, peer: str) -> TcpLink:
        """Connect to a peer.

        Raises:
            ConnectError: nobody answers there in time.
        """
        host, _, port = peer.removeprefix("[").partition("]:" if peer.startswith("[") else ":")
        address = (host, port)
        try:
            # The port may be a service's name; the type hints know only numbers.
            sock = socket.create_connection(
                address,  # type: ignore[arg-type]
                timeout=self._settings.connect_timeout_s,
            )
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no answer"
            raise ConnectError(f"node {peer} cannot be reached: {reason}") from error
        return TcpLink(sock, self._wire_limits, self._settings.silence_timeout_s)

    def _ask(self) -> None:
        now = time.monotonic()
        try:
            found = self._sources()
        except ElastronError as error:
            if str(error) != self._warned:  # not each time again
                self._warned = str(error)
                self._log.warning("other nodes cannot be listed", reason=self._warned)
            if now - self._found_at > _BELIEVED_S:
                self._found = []
            return
        self._found_at, self._warned = now, ""
        self._found = [each for each in dict.fromkeys(found) if not self._is_own(each)]

    def _sources(self) -> list[str]:
        settings = self._settings
        if settings.addresses:
            return list(settings.addresses)
        if settings.gateway_admin is not None:
            return gateway_workers(
                settings.gateway_admin, settings.discovery_timeout_s, exclude=self._own
            )
        if settings.command is not None:
            return command_workers(settings.command, settings.discovery_timeout_s)
        return []

    def _is_own(self, peer: str) -> bool:
        return self._own is not None and peer.replace("localhost:", "127.0.0.1:") == self._own


class TcpLink:
    """A connection to a peer; one thread sends, another receives."""

    def __init__(self, sock: socket.socket, limits: Limits, silence_timeout_s: float) -> None:
        tune(sock)
        sock.setblocking(False)
        self._socket = sock
        self._decoder = Decoder(limits)
        self._silence_timeout_s = silence_timeout_s
        self._moved = time.monotonic()
        self._aborted = False
        self._finished = False
        self._wake_read, self._wake_write = os.pipe()
        self._readable = self._poller(select.POLLIN)
        self._writable = self._poller(select.POLLOUT)

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Send bytes; waits while the peer is slow.

        Raises:
            ConnectionLostError, DeadlineError: it is gone, or takes nothing for too long.
        """
        views = [view for buffer in buffers if (view := memoryview(buffer).cast("B"))]
        first = 0
        while first < len(views):
            try:
                sent = self._socket.sendmsg(views[first : first + _VECTOR_MAX])
            except (BlockingIOError, InterruptedError):
                self._wait(self._writable)
                continue
            except OSError as error:
                raise _lost(error) from error
            self._moved = time.monotonic()
            while first < len(views) and sent >= len(views[first]):
                sent -= len(views[first])
                first += 1
            if sent:
                views[first] = views[first][sent:]

    def messages(self) -> Iterator[Message]:
        """What the peer says, until it ends its stream.

        Raises:
            ConnectionLostError, DeadlineError: it is gone, or silent for too long.
            ProtocolError: what came is no message.
        """
        decoder = self._decoder
        while True:
            try:
                received = self._socket.recv_into(decoder.get_buffer())
            except (BlockingIOError, InterruptedError):
                self._wait(self._readable)
                continue
            except OSError as error:
                raise _lost(error) from error
            if received == 0:
                decoder.eof()
                return
            self._moved = time.monotonic()
            decoder.received(received)
            for message in decoder.messages():
                self._finished = self._finished or isinstance(message, Close)
                yield message

    def abort(self) -> None:
        """End it at once; any thread may call it, and both sides wake."""
        if not self._aborted:
            self._aborted = True
            os.write(self._wake_write, b"!")

    def close(self) -> None:
        """Free the socket; nobody sends or receives any more."""
        if not self._finished:
            # Else the peer would take what came for the whole, and work on it.
            with contextlib.suppress(OSError):  # it is gone already
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()
        for end in (self._wake_read, self._wake_write):
            os.close(end)

    def _poller(self, events: int) -> select.poll:
        poller = select.poll()
        poller.register(self._socket, events)
        poller.register(self._wake_read, select.POLLIN)
        return poller

    def _wait(self, poller: select.poll) -> None:
        """Wait for the socket.

        Raises:
            ConnectionLostError: the link was aborted.
            DeadlineError: nothing moved, in either direction, for too long.
        """
        while True:
            left_s = self._moved + self._silence_timeout_s - time.monotonic()
            ready = poller.poll(max(left_s, 0) * 1000 + 1)
            if self._aborted:
                raise ConnectionLostError("the connection was given up")
            if ready:
                return
            if time.monotonic() - self._moved >= self._silence_timeout_s:
                raise DeadlineError(
                    f"it neither took nor sent a byte for {self._silence_timeout_s:g} s"
                )


def _lost(error: OSError) -> ConnectionLostError:
    return ConnectionLostError(f"the connection broke ({error.strerror})")
