"""Asks a Gadgetron whether it answers, over its own protocol."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

from elastron.errors import ElastronError
from elastron.service.address import Address
from elastron.wire import Decoder, encode
from elastron.wire.messages import Close, Message, Query, Response, Text

QUERY = "gadgetron::info"
#: SO_LINGER on, 0 s.
_RESET = struct.pack("ii", 1, 0)
_BYTES_MAX = 64 * 1024
_PIECE_BYTES = 4096


class Prober:
    """Asks; one question at a time.

    Args:
        node: its address.
        timeout_s: for a whole answer.

    Attributes:
        own: this end of the connection while a question is asked, from before it connects; None
            otherwise.
    """

    def __init__(self, node: Address, timeout_s: float) -> None:
        self._node = node
        self._timeout_s = timeout_s
        self.own: Address | None = None

    async def ask(self) -> str | None:
        """Why the Gadgetron is not well; None when it has answered."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask()
        except TimeoutError:
            return f"no answer within {self._timeout_s:g} s"
        except OSError as error:
            return f"no connection: {error.strerror or type(error).__name__}"
        except ElastronError:
            return "what answers does not speak the Gadgetron protocol"
        finally:
            self.own = None

    async def _ask(self) -> str | None:
        reader, writer = await asyncio.open_connection(
            sock=await self._connected(), limit=_BYTES_MAX
        )
        try:
            # CLOSE with the question, so that its process ends whatever becomes of us.
            for message in (Query(QUERY, correlation_id=1), Close()):
                writer.writelines(bytes(buffer) for buffer in encode(message))
            well = False
            async for message in _messages(reader):
                # A refusal is an answer as well: it has enough to do.
                well = well or isinstance(message, Response | Text)
            return None if well else "it hung up without an answer"
        finally:
            # By a reset: one that hangs must not collect questions.
            # It may be closed already, if the peer ended it with a reset of its own.
            with contextlib.suppress(OSError):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connected(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        refusal: OSError | None = None
        for family, kind, protocol, _, address in await loop.getaddrinfo(
            *self._node, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                # The kernel's table has it before we hear of it, and it must not pass for a scan.
                with contextlib.suppress(OSError):  # the node is not on this machine
                    sock.bind((address[0], 0, *address[2:]))
                self.own = Address(*sock.getsockname()[:2])
                await loop.sock_connect(sock, address)
                self.own = Address(*sock.getsockname()[:2])
            except OSError as error:
                sock.close()
                refusal = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise refusal or OSError("no address")


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[Message]:
    decoder = Decoder()
    left = _BYTES_MAX
    while left > 0 and (data := await reader.read(_PIECE_BYTES)):
        left -= len(data)
        decoder.feed(data)
        for message in decoder.messages():
            yield message
