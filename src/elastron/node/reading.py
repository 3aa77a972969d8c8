"""Messages from the client, and the patience with which they are waited for.

Three deadlines: the handshake (config and header), a message that has begun but does not end, and
a client that is silent while the chain waits for it. All errors say which one it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from elastron.errors import DeadlineError
from elastron.node.settings import NodeSettings
from elastron.node.transport import ClientSocket
from elastron.wire import Decoder
from elastron.wire.messages import Message


class MessageReader:
    """Reads the client's stream.

    Args:
        client: to read from.
        decoder: makes messages of bytes.
        settings: time-outs.
        waiting_since: time (monotonic) since when the chain has waited for input; None while it
            works. A client may be silent while we work.

    Attributes:
        ended: the client has ended its stream; it may still read.
    """

    def __init__(
        self,
        client: ClientSocket,
        decoder: Decoder,
        settings: NodeSettings,
        *,
        waiting_since: Callable[[], float | None],
    ) -> None:
        self._client = client
        self._decoder = decoder
        self._settings = settings
        self._waiting_since = waiting_since
        now = time.monotonic()
        self._handshake_deadline: float | None = now + settings.handshake_timeout_s
        self._last_byte = now
        self.ended = False
        self._message_began: float | None = None
        self._message_bytes = 0

    def handshake_done(self, expected_bytes: int) -> None:
        """Config and header are there, and say how much will come: the client may take its time."""
        self._handshake_deadline = None
        self._decoder.expect(expected_bytes)

    def messages(self) -> Iterator[Message]:
        """Messages as they come, until the client ends its stream.

        Raises:
            ProtocolError: what came is no message, or breaks a limit.
            DeadlineError: the client is too slow or silent.
            ConnectionLostError: the connection broke, or ended within a message.
            Interrupted: somebody interrupted the socket.
        """
        decoder = self._decoder
        while True:
            view = decoder.get_buffer()
            try:
                received = self._client.receive_into(view, timeout_s=self._patience_s())
            except TimeoutError:
                continue  # the deadlines are checked at the loop's head
            if received == 0:
                self.ended = True
                decoder.eof()
                return
            self._last_byte = time.monotonic()
            decoder.received(received)
            complete = False
            for message in decoder.messages():
                complete = True
                yield message
            if complete:  # whoever took them took its time: the client's begins now
                self._last_byte = time.monotonic()
            self._account(received, complete=complete)

    def _account(self, received: int, *, complete: bool) -> None:
        """Note since when the message that is not whole yet has been coming."""
        begun_bytes = self._decoder.buffered_bytes
        if not begun_bytes:
            self._message_began = None
        elif complete or self._message_began is None:
            self._message_began, self._message_bytes = self._last_byte, begun_bytes
        else:
            self._message_bytes += received

    def _patience_s(self) -> float:
        """How long to wait for the next byte.

        Raises:
            DeadlineError: no longer.
        """
        now = time.monotonic()
        waits = [self._idle_s(now)]
        if self._handshake_deadline is not None:
            left_s = self._handshake_deadline - now
            if left_s <= 0:
                raise DeadlineError(
                    "no complete config and header within "
                    f"{self._settings.handshake_timeout_s:g} s of connecting"
                )
            waits.append(left_s)
        if self._message_began is not None:
            waits.append(self._message_s(now - self._message_began))
        return min(waits)

    def _idle_s(self, now: float) -> float:
        timeout_s = self._settings.idle_timeout_s
        waiting_since = self._waiting_since()
        if waiting_since is None:  # the chain works; ask again when it could be over
            return timeout_s
        left_s = max(self._last_byte, waiting_since) + timeout_s - now
        if left_s <= 0:
            raise DeadlineError(
                f"the client sent nothing for {timeout_s:g} s and did not close its stream"
            )
        return left_s

    def _message_s(self, elapsed_s: float) -> float:
        settings = self._settings
        allowed_s = settings.message_timeout_s
        if settings.rate_min > 0:
            allowed_s = max(allowed_s, self._message_bytes / settings.rate_min)
        if elapsed_s >= allowed_s:
            raise DeadlineError(
                f"a message is still incomplete after {elapsed_s:.0f} s "
                f"and {self._message_bytes} bytes"
            )
        return allowed_s - elapsed_s
