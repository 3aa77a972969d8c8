"""A TCP proxy that cuts, holds or refuses, before one port of one node.

The gateway knows only the proxy's port, so a node may come back at any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

_PIECE_BYTES = 256 << 10
_RESET = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Passes on bytes until told otherwise.

    Attributes:
        port: where it listens, and refuses.
        target: port of the node; None: connections are refused.
        cuts: connections cut.
    """

    def __init__(self) -> None:
        # Bound but never listening, it keeps the port ours while nobody listens: connections are
        # then refused, as by a dead process.
        self._placeholder = _bound(0)
        self.port = self._placeholder.getsockname()[1]
        self.target: int | None = None
        self.cuts = 0
        self._listener: socket.socket | None = None
        self._pairs: dict[asyncio.Task[None], tuple[socket.socket, socket.socket | None]] = {}
        self._flows = asyncio.Event()
        self._flows.set()
        self._cut_after: int | None = None

    def open(self, target: int) -> None:
        """Pass connections on to this port."""
        self.target = target
        if self._listener is None:
            self._listener = listener = _bound(self.port)
            listener.listen(1024)
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def refuse(self) -> None:
        """Refuse new connections; those there are go on."""
        self.target = None
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def cut(self) -> int:
        """Reset every connection, both ways; how many there were."""
        pairs = list(self._pairs.items())
        for task, pair in pairs:
            for sock in pair:
                if sock is not None:
                    _reset(sock)
            task.cancel()
        self.cuts += len(pairs)
        return len(pairs)

    def cut_after(self, count: int) -> None:
        """Cut all connections once so many more bytes have come from the node."""
        self._cut_after = count

    async def hold(self, seconds: float) -> None:
        """Pass nothing on for a while; connections stay, new ones are accepted and silent."""
        self._flows.clear()
        try:
            await asyncio.sleep(seconds)
        finally:
            self._flows.set()

    async def close(self) -> None:
        """End everything."""
        self.refuse()
        tasks = list(self._pairs)
        self.cut()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._placeholder.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            sock, _ = listener.accept()
            task = asyncio.create_task(self._serve(sock))
            self._pairs[task] = (sock, None)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        sock, _ = self._pairs.pop(task)
        sock.close()  # a task cancelled before its first step has not

    async def _serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        upstream = socket.socket()
        upstream.setblocking(False)
        with sock, upstream:
            sock.setblocking(False)
            for each in (sock, upstream):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.current_task()
            if task is not None:
                self._pairs[task] = (sock, upstream)
            try:
                await self._flows.wait()
                if self.target is None:
                    raise ConnectionRefusedError
                await loop.sock_connect(upstream, ("127.0.0.1", self.target))
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(sock, upstream, from_node=False))
                    both.create_task(self._pump(upstream, sock, from_node=True))
            except (OSError, ExceptionGroup):
                for each in (sock, upstream):
                    _reset(each)

    async def _pump(self, source: socket.socket, sink: socket.socket, *, from_node: bool) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(source, _PIECE_BYTES):
            await self._flows.wait()
            if from_node and self._cut_after is not None:
                if len(data) >= self._cut_after:
                    await loop.sock_sendall(sink, data[: self._cut_after])
                    self._cut_after = None
                    asyncio.get_running_loop().call_soon(self.cut)
                    return
                self._cut_after -= len(data)
            await loop.sock_sendall(sink, data)
        await self._flows.wait()
        sink.shutdown(socket.SHUT_WR)


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _reset(sock: socket.socket) -> None:
    """Make its close a reset, and end it now for who waits on it."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.shutdown(socket.SHUT_RD)
