"""A gateway in this event loop, nodes that follow a script, and clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np

from elastron.gateway import Gateway, GatewaySettings
from elastron.mrd.image import IMAGE_HEADER, Image
from elastron.wire import Decoder, encode
from elastron.wire.messages import (
    Close,
    ConfigName,
    HeaderXml,
    Message,
    Query,
    Response,
    Text,
)
from tests.node.harness import HEADER, scan, wire_bytes

MIB = 1 << 20
#: A node that a busy machine keeps from answering is not dead, and known once the gateway is.
PATIENCE = {"poll_timeout_s": 30, "start_wait_s": 60}
PREAMBLE = wire_bytes(ConfigName("default.xml"), HeaderXml(HEADER))


def image(number: int, size: int = 16) -> Image:
    """An image whose header and pixels tell its number."""
    header = np.zeros((), IMAGE_HEADER)
    header["version"], header["data_type"], header["channels"] = 1, 5, 1
    header["matrix_size"] = (size, size, 1)
    header["image_index"] = number
    return Image(header=header, data=np.full((1, 1, size, size), number, np.float32))


def numbers(messages: list[Message]) -> list[int]:
    """Of the images among them."""
    return [int(each.header["image_index"]) for each in messages if isinstance(each, Image)]


def texts(messages: list[Message]) -> list[str]:
    return [each.text for each in messages if isinstance(each, Text)]


class Line:
    """One connection, as seen from either end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.decoder = Decoder()
        self.received = bytearray()
        self._waiting: list[Message] = []

    async def send(self, *messages: Message) -> None:
        await self.send_bytes(b"".join(bytes(each) for one in messages for each in encode(one)))

    async def send_bytes(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def feed(self, data: bytes) -> None:
        self.received += data
        self.decoder.feed(data)

    async def next(self) -> Message | None:
        """The next message; None at the end of the stream."""
        while not self._waiting:
            data = await self.reader.read(MIB)
            if not data:
                return None
            self.feed(data)
            self._waiting.extend(self.decoder.messages())
        return self._waiting.pop(0)

    async def rest(self) -> list[Message]:
        """All messages up to the end of the stream."""
        found = []
        while (message := await self.next()) is not None:
            found.append(message)
        self.decoder.eof()
        return found

    async def until_close(self) -> list[Message]:
        found = []
        while (message := await self.next()) is not None:
            if isinstance(message, Close):
                break
            found.append(message)
        return found

    def half_close(self) -> None:
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def vanish(self) -> None:
        """Leave with a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
        self.writer.transport.abort()


Script = Callable[[Line], Awaitable[None]]


class FakeNode:
    """Serves its n-th scan by the n-th script, the last one again and again."""

    def __init__(self, *scripts: Script, capacity: int = 4) -> None:
        self.scripts = scripts
        self.capacity = capacity
        self.lines: list[Line] = []
        self._server: asyncio.Server | None = None
        self.address = ""

    async def __aenter__(self) -> FakeNode:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MIB)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for line in self.lines:
            if not line.writer.is_closing():
                line.writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            first = await reader.readexactly(2)
            if first == b"\x06\x00":
                line.feed(first)
                query = await line.next()
                status = {"capacity": self.capacity, "running": 0, "ready": True}
                assert isinstance(query, Query)
                await line.send(Response(json.dumps(status), query.correlation_id), Close())
            else:
                self.lines.append(line)
                line.feed(first)
                await self.scripts[min(len(self.lines), len(self.scripts)) - 1](line)
            await line.close()


def gives(*images: int) -> Script:
    """Takes the whole scan, then gives images."""

    async def script(line: Line) -> None:
        await line.until_close()
        await line.send(*(image(number) for number in images), Close())

    return script


@contextlib.asynccontextmanager
async def gateway_before(*nodes: FakeNode, **settings: Any) -> AsyncIterator[Gateway]:
    """A gateway that knows these nodes."""
    given = {
        "listen": "127.0.0.1:0",
        "admin": None,
        "registry": {
            "nodes": [node.address for node in nodes],
            "query_interval_s": 0.2,
            **PATIENCE,
        },
        "journal": {"memory_bytes_max": 64 * MIB},
        "linger_timeout_s": 60,
        **settings,
    }
    async with contextlib.AsyncExitStack() as stack:
        async with Gateway(GatewaySettings.model_validate(given)) as gateway:
            yield gateway
        await stack.aclose()


async def client_of(gateway: Gateway) -> Line:
    assert gateway.address is not None
    return Line(*await asyncio.open_connection("127.0.0.1", gateway.address.port))


async def one_scan(gateway: Gateway, repetitions: int = 1) -> list[Message]:
    """Send a scan; all that comes back."""
    client = await client_of(gateway)
    await client.send_bytes(PREAMBLE + wire_bytes(scan(repetitions), Close()))
    answer = await client.rest()
    await client.close()
    return answer


async def until(found: Callable[[], Any], *, timeout_s: float = 60) -> Any:
    """What `found()` gives, once it is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := found()):
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)
    return value
