"""A worker's side of the client's socket: waits that end, and a way to say goodbye properly."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Sequence

from elastron.errors import ConnectionLostError, DeadlineError
from elastron.node.scoreboard import Scoreboard

# sendmsg takes at most IOV_MAX (1024 on Linux and macOS) buffers.
_BUFFERS_MAX = 1024


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked for it
    """A wait was ended by `ClientSocket.interrupt`."""


class ClientSocket:
    """Reads by one thread and writes by another; counts both on the scoreboard.

    The socket is non-blocking, so that a read costs one system call as long as data is there.
    """

    def __init__(self, sock: socket.socket, board: Scoreboard) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._board = board
        self._wake_read, self._wake_write = os.pipe()
        self._closing = threading.Lock()
        self._closed = False
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._readable.register(self._wake_read, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sock, select.POLLOUT)

    def interrupt(self) -> None:
        """End the present and every later wait for input; any thread may call it, at any time."""
        with self._closing:
            if not self._closed:
                os.write(self._wake_write, b"!")

    def clear_interrupt(self) -> None:
        """Let waits be waits again."""
        os.read(self._wake_read, 64)

    def receive_into(self, view: memoryview, *, timeout_s: float) -> int:
        """Wait for bytes, then take all that is there, up to the size of `view`.

        Returns:
            Number of bytes; 0 when the client has ended its stream.

        Raises:
            TimeoutError: none came within `timeout_s`.
            Interrupted: `interrupt` was called while waiting.
            ConnectionLostError: the connection broke.
        """
        received = self._receive_some(view)
        if received is None:
            self._wait_for_input(timeout_s)
            received = self._receive_some(view)
            if received is None:  # woken for nothing
                raise TimeoutError
        total = received
        # What has already arrived becomes one larger batch, at the price of one system call.
        while received and total < len(view):
            received = self._receive_some(view[total:])
            if received is None or received == 0:
                break  # an end of stream is seen again by the next call
            total += received
        self._board.bytes_in += total
        return total

    def _receive_some(self, view: memoryview) -> int | None:
        try:
            return self._socket.recv_into(view)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            raise ConnectionLostError(f"connection to the client lost: {error.strerror}") from error

    def _wait_for_input(self, timeout_s: float) -> None:
        ready = dict(self._readable.poll(max(0.0, timeout_s) * 1000))
        if self._wake_read in ready:
            raise Interrupted
        if not ready:
            raise TimeoutError

    def send(self, buffers: Sequence[memoryview | bytes | bytearray], *, timeout_s: float) -> None:
        """Send one whole message.

        Raises:
            DeadlineError: the client took no byte for `timeout_s`.
            ConnectionLostError: the connection broke.
        """
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        first = 0
        self._board.writing = 1
        while first < len(views):
            try:
                sent = self._socket.sendmsg(views[first : first + _BUFFERS_MAX])
            except (BlockingIOError, InterruptedError):
                if not self._writable.poll(timeout_s * 1000):
                    raise DeadlineError(
                        f"the client took none of its results for {timeout_s:g} s"
                    ) from None
                continue
            except OSError as error:
                raise ConnectionLostError(
                    f"connection to the client lost: {error.strerror}"
                ) from error
            self._board.bytes_out += sent
            while first < len(views) and sent >= len(views[first]):
                sent -= len(views[first])
                first += 1
            if sent:
                views[first] = views[first][sent:]
        self._board.writing = 0

    def finish(self, *, timeout_s: float, bytes_max: int, buffer: memoryview) -> None:
        """End our stream, read what the client still sends and throw it away, then close.

        A socket closed with unread data resets the connection, and the reset overtakes the last
        messages on their way to the client.

        Args:
            timeout_s: to stop after, whatever comes.
            bytes_max: to stop after. Both 0: close at once.
            buffer: to read into.
        """
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + timeout_s
        discarded = 0
        with contextlib.suppress(TimeoutError, Interrupted, ConnectionLostError):
            while discarded < bytes_max and (left_s := deadline - time.monotonic()) > 0:
                received = self.receive_into(buffer, timeout_s=left_s)
                if received == 0:
                    break
                discarded += received
        # The supervisor holds the socket too; only this ends the connection now.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Close the socket and the wake-up pipe."""
        with self._closing:
            self._closed = True
            self._socket.close()
            for end in (self._wake_read, self._wake_write):
                os.close(end)
