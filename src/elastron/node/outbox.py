"""Results on their way to the client.

A thread of its own sends them, so that the chain goes on while the client is slow, and a client
that sends its whole scan before it reads anything gets some way before both wait for each other:
as far as the queue's limit, the two sockets' buffers and the input queue reach together.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from elastron.node.transport import ClientSocket
from elastron.wire import Buffer, encode
from elastron.wire.messages import Message


class Outbox:
    """A bounded queue of encoded messages and the thread that sends them.

    Before `start` and after `close`, messages are sent by the caller itself.
    """

    def __init__(self, client: ClientSocket, *, bytes_max: int, timeout_s: float) -> None:
        self._client = client
        self._bytes_max = bytes_max
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Sequence[Buffer], int]] = deque()
        self._bytes = 0  # of those that wait and the one being sent
        self._discarding = False
        self._closing = False
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Send from a thread of its own from now on."""
        self._thread = threading.Thread(target=self._run, name="client writer", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Send a message; waits while the queue is full.

        Raises:
            ConnectionLostError, DeadlineError: an earlier message could not be sent.
        """
        buffers = encode(message)
        if self._thread is None:
            self._client.send(buffers, timeout_s=self._timeout_s)
            return
        size = sum(memoryview(buffer).nbytes for buffer in buffers)
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(size))
            if self._error is not None:
                raise self._error
            if not self._discarding:
                self._waiting.append((buffers, size))
                self._bytes += size
                self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        # A message larger than the limit passes once the queue is empty.
        fits = not self._bytes or self._bytes + size <= self._bytes_max
        return fits or self._discarding or self._error is not None

    def discard(self) -> None:
        """Throw away what waits and what is put before `close`; one half sent is completed."""
        with self._changed:
            self._discarding = True
            self._bytes -= sum(size for _, size in self._waiting)
            self._waiting.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Return when everything is sent.

        Raises:
            ConnectionLostError, DeadlineError: it could not be sent.
        """
        if self._thread is not None:
            with self._changed:
                self._closing = True
                self._changed.notify_all()
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                buffers, size = self._waiting.popleft()
            try:
                self._client.send(buffers, timeout_s=self._timeout_s)
            except Exception as error:
                with self._changed:
                    self._error = error
                    self._waiting.clear()
                    self._changed.notify_all()
                return
            del buffers  # not kept until the next message comes
            with self._changed:
                self._bytes -= size
                self._changed.notify_all()
