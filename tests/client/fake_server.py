"""A server that does what a test tells it to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from elastron.wire import Decoder, encode
from elastron.wire.messages import Close, Message


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._decoder = Decoder()

    def messages(self) -> Iterator[Message]:
        """What comes, CLOSE included, until the connection ends."""
        while True:
            count = self.sock.recv_into(self._decoder.get_buffer())
            if not count:
                return
            self._decoder.received(count)
            yield from self._decoder.messages()

    def until_close(self) -> list[Message]:
        found = []
        for message in self.messages():
            found.append(message)
            if isinstance(message, Close):
                break
        return found

    def send(self, *messages: Message) -> None:
        for message in messages:
            for buffer in encode(message):
                self.sock.sendall(buffer)

    def reset(self) -> None:
        """Hang up the rude way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()


@contextlib.contextmanager
def fake_server(handle: Callable[[Peer], None]) -> Iterator[int]:
    """Serve connections one after the other with `handle`; gives the port."""
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)

        def run() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    sock.settimeout(60)
                    try:
                        handle(Peer(sock))
                    except (ConnectionError, TimeoutError):
                        pass
                    except BaseException as error:
                        failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)
    if failures:
        raise failures[0]
