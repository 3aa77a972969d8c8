"""Stands for an upstream Gadgetron: its protocol as far as a sidecar sees it, and its log lines."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

from elastron.wire import Decoder, encode
from elastron.wire.messages import (
    Close,
    ConfigName,
    HeaderXml,
    Message,
    Query,
    Response,
)

PREFIX = "11-23 00:24:12.123 INFO [StreamConnection.cpp:76] "


def line(state: str) -> bytes:
    return f"{PREFIX}Connection state: [{state}]\n".encode()


class StandIn:
    """Listens at `port`; a thread a connection.

    Attributes:
        silent: set: questions are not answered.
    """

    def __init__(self, log: Path) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.silent = threading.Event()
        self._stopped = threading.Event()
        self.connections = 0
        self._clients: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def write(self, state: str) -> None:
        """A line in two pieces, as the pipe to `tee` may give it."""
        data = line(state)
        with self._lock:
            os.write(self._log, data[:60])
            time.sleep(0.01)
            os.write(self._log, data[60:])

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._clients.add(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        decoder = Decoder()
        self.write("CONFIG")
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(1 << 16):
                decoder.feed(data)
                for message in decoder.messages():
                    if self._answer(sock, message):
                        return
            self._stopped.wait()  # the chain computes on, whatever the client does
        self._clients.discard(sock)

    def _answer(self, sock: socket.socket, message: Message) -> bool:
        match message:
            case Query(_, correlation_id) if not self.silent.is_set():
                self._send(sock, Response("Gadgetron Version Info\n", correlation_id))
            case ConfigName():
                self.write("HEADER")
            case HeaderXml():
                self.write("STREAM")
            case Close() if not self.silent.is_set():
                self.write("FINISHED")
                self._send(sock, Close())
                return True
            case _:
                pass
        return False

    @staticmethod
    def _send(sock: socket.socket, message: Message) -> None:
        sock.sendall(b"".join(bytes(buffer) for buffer in encode(message)))

    def stop(self) -> None:
        """As if killed: connections end, and no line is written."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._clients):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        os.close(self._log)
