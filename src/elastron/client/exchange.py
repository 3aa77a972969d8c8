"""One conversation over one socket: a thread sends, the caller's thread receives.

Both must go on at the same time: a server that cannot get rid of its images stops reading, and a
client that only sends would wait for it for ever.
"""

from __future__ import annotations

import enum
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from elastron.errors import ElastronError, ProtocolError
from elastron.wire import Buffer, Decoder, iter_encode
from elastron.wire.messages import Close, Message

#: Buffers in one system call; Linux takes 1024 (IOV_MAX).
_VECTOR_MAX = 1024

#: How often a waiting side looks whether the other one still moves, at most.
_LOOK_S = 1.0

#: How long a stopped sender may take to leave.
_JOIN_S = 10.0

#: Turns a message (or whatever else is to be sent) into buffers, piece by piece.
Encoder = Callable[[Any], Iterable[Sequence[Buffer]]]


class Ending(enum.Enum):
    """How a conversation ended, as the receiving side saw it."""

    CLOSED = "the server sent CLOSE"
    LOST = "the connection ended without CLOSE"
    STALLED = "nothing moved for too long"
    GARBLED = "bytes came that are no message"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a conversation ended, and what was moved.

    Attributes:
        ending: see `Ending`.
        everything_sent: our CLOSE went out.
        reason: what lies behind a lost or garbled ending, where known.
        bytes_received: with all framing.
    """

    ending: Ending
    everything_sent: bool
    reason: Exception | None
    bytes_received: int


class _Activity:
    """When something last moved, in either direction."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def moved(self) -> None:
        self.last = time.monotonic()

    def silent_for(self, seconds: float | None) -> bool:
        return seconds is not None and time.monotonic() - self.last > seconds


class _Sender:
    """Sends messages from a thread of its own.

    Attributes:
        finished: everything went out.
        broken: the connection refused to take more.
        error: the messages' own source failed.
    """

    def __init__(
        self,
        sock: socket.socket,
        messages: Iterable[Any],
        activity: _Activity,
        *,
        timeout_s: float | None,
        on_sent: Callable[[Any, int], None],
        encoder: Encoder,
    ) -> None:
        self._sock = sock
        self._messages = messages
        self._activity = activity
        self._timeout_s = timeout_s
        self._on_sent = on_sent
        self._encoder = encoder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="elastron-send", daemon=True)
        self.finished = False
        self.broken: OSError | None = None
        self.error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more; returns when the thread has ended."""
        self._stop.set()
        if not self.finished:
            _shut_down(self._sock)
        # A source that waits for a scanner may not return for long; the thread is a daemon.
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            for message in self._messages:
                if self._stop.is_set():
                    return
                sent = sum(self._send(piece) for piece in self._encoder(message))
                self._on_sent(message, sent)
            self.finished = True
        except _BrokenError as broken:
            self.broken = broken.cause
        except BaseException as error:
            self.error = error
            _shut_down(self._sock)  # wakes the receiver

    def _send(self, buffers: Sequence[Buffer]) -> int:
        views = [view for view in (memoryview(buffer).cast("B") for buffer in buffers) if view]
        total = sum(len(view) for view in views)
        first = 0
        while first < len(views):
            try:
                sent = self._sock.sendmsg(views[first : first + _VECTOR_MAX])
            except TimeoutError as error:
                if self._activity.silent_for(self._timeout_s):
                    raise _BrokenError(error) from error
                continue
            except OSError as error:
                raise _BrokenError(error) from error
            self._activity.moved()
            while sent and sent >= len(views[first]):
                sent -= len(views[first])
                first += 1
            if sent:
                views[first] = views[first][sent:]
        return total


class _BrokenError(Exception):
    """The socket, not the source of messages, failed."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def converse(
    sock: socket.socket,
    messages: Iterable[Any],
    receive: Callable[[Message], None],
    *,
    timeout_s: float | None = None,
    on_sent: Callable[[Any, int], None] = lambda message, count: None,
    encoder: Encoder = iter_encode,
    on_end: Callable[[], None] = lambda: None,
) -> Outcome:
    """Send `messages` and receive until CLOSE or the connection's end.

    Args:
        sock: connected; still open afterwards, but of no further use.
        messages: to send, or whatever `encoder` takes; consumed in another thread.
        receive: called with every message that comes but CLOSE, in the caller's thread. What it
            raises ends the conversation and is raised here.
        timeout_s: silence in both directions that is borne; None for ever.
        on_sent: called in the sending thread after each message, with its bytes.
        encoder: makes the bytes.
        on_end: called when nothing more will be received, so that `messages` that wait for an
            answer wait no longer.

    Raises:
        Exception: whatever iterating `messages`, or `receive`, raised.
    """
    activity = _Activity()
    sock.settimeout(None if timeout_s is None else min(timeout_s, _LOOK_S))
    sender = _Sender(
        sock, messages, activity, timeout_s=timeout_s, on_sent=on_sent, encoder=encoder
    )
    receiver = _Receiver(sock, activity, timeout_s)
    sender.start()
    try:
        for message in receiver:
            receive(message)
    finally:
        on_end()
        sender.stop()
    if sender.error is not None:
        raise sender.error
    reason = receiver.reason or sender.broken
    return Outcome(receiver.ending, sender.finished, reason, receiver.bytes_received)


class _Receiver:
    """The messages that come, until CLOSE or the end."""

    def __init__(self, sock: socket.socket, activity: _Activity, timeout_s: float | None) -> None:
        self._sock = sock
        self._activity = activity
        self._timeout_s = timeout_s
        self._decoder = Decoder()
        self.ending = Ending.LOST
        self.reason: Exception | None = None
        self.bytes_received = 0

    def __iter__(self) -> Iterator[Message]:
        try:
            while self._receive():
                for message in self._decoder.messages():
                    if isinstance(message, Close):
                        self.ending = Ending.CLOSED
                        return
                    yield message
        except ProtocolError as error:
            self.ending, self.reason = Ending.GARBLED, error

    def _receive(self) -> bool:
        """Wait for bytes; False when there will be no more."""
        while True:
            try:
                count = self._sock.recv_into(self._decoder.get_buffer())
            except TimeoutError:
                if self._activity.silent_for(self._timeout_s):
                    self.ending = Ending.STALLED
                    return False
                continue
            except OSError as error:
                self.reason = error
                return False
            break
        if count == 0:
            try:
                self._decoder.eof()
            except ElastronError as error:
                self.reason = error
            return False
        self._activity.moved()
        self._decoder.received(count)
        self.bytes_received += count
        return True


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is down already
