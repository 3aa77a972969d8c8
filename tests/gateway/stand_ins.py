"""Nodes that only say how they are, within the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from elastron.gateway.events import Events
from elastron.gateway.nodes import Registry, RegistrySettings
from elastron.wire import Decoder, encode
from elastron.wire.faults import Fault, fault_words
from elastron.wire.messages import Close, Query, Response, Text

#: So patient that a loaded machine is no trouble, with pauses so short that tests are quick.
QUICK: dict[str, Any] = {
    "poll_interval_s": 0.05,
    "query_interval_s": 0.05,
    "start_interval_s": 0.03,
    "back_off_s": 0.05,
    "back_off_s_max": 0.2,
    "resolve_interval_s": 0.05,
    "poll_timeout_s": 20,
    "start_wait_s": 60,
}


class StandIn:
    """A node with an admin server and a scan port that answers queries.

    Attributes:
        status: what it tells; None: it is silent.
        asked: how often it was asked by HTTP.
        answers: to queries; others are unknown, as to an upstream Gadgetron.
        refusal: said to every query instead.
    """

    def __init__(self, **status: Any) -> None:
        self.status: dict[str, Any] | None = {"version": "1", "capacity": 1, "running": 0} | status
        self.asked = 0
        self.answers: dict[str, str] = {}
        self.refusal: Fault | None = None
        self.raw: bytes | None = None
        self.code = 200
        self._servers: list[asyncio.Server] = []
        self._ports = [0, 0]
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; after a `stop` on the same ports."""
        for index, serve in enumerate((self._serve_admin, self._serve_queries)):
            server = await asyncio.start_server(
                self._tracked(serve), "127.0.0.1", self._ports[index]
            )
            self._ports[index] = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def stop(self) -> None:
        """Close everything, as a process that dies."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def admin_port(self) -> int:
        return self._ports[0]

    @property
    def port(self) -> int:
        return self._ports[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def spec(self) -> str:
        return f"{self.address}/{self.admin_port}"

    def _tracked(
        self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await serve(reader, writer)
            finally:
                writer.close()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(work(reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        return connected

    async def _serve_admin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.status is None:
                await asyncio.Event().wait()
            found = head.startswith(b"GET /status ")
            body = json.dumps(self.status).encode() if self.raw is None else self.raw
            code = self.code if found else 404
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (code, len(body)) + body)

    async def _serve_queries(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        decoder = Decoder()
        while data := await reader.read(65536):
            decoder.feed(data)
            for message in decoder.messages():
                if isinstance(message, Query):
                    if self.refusal is not None:
                        words = f"[Connection Main Thread] ERROR: {fault_words(self.refusal)}"
                        _write(writer, Text(words), Close())
                        return
                    answer = self.answers.get(message.query, "Unknown query")
                    _write(writer, Response(answer, message.correlation_id), Close())


def _write(writer: asyncio.StreamWriter, *messages: Any) -> None:
    for message in messages:
        writer.writelines(bytes(buffer) for buffer in encode(message))


@contextlib.asynccontextmanager
async def stand_in(**status: Any) -> AsyncIterator[StandIn]:
    node = StandIn(**status)
    await node.start()
    try:
        yield node
    finally:
        await node.stop()


@contextlib.asynccontextmanager
async def registry(*nodes: str, **settings: Any) -> AsyncIterator[Registry]:
    """A started registry of these sources."""
    made = Registry(RegistrySettings(**QUICK | {"nodes": nodes} | settings), Events())
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def until(found: Callable[[], Any], what: str, timeout_s: float = 60) -> Any:
    """What `found()` gives, once it is true."""
    try:
        async with asyncio.timeout(timeout_s):
            while not (value := found()):  # noqa: ASYNC110 - of all sorts of things
                await asyncio.sleep(0.005)
            return value
    except TimeoutError:
        raise AssertionError(f"never came: {what}") from None
