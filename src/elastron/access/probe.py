"""Does a Gadgetron answer at the far end of a tunnel? A QUERY, as any Gadgetron takes it."""

from __future__ import annotations

import asyncio
import contextlib

from elastron.errors import ProtocolError
from elastron.service.address import Address
from elastron.wire import Decoder, encode
from elastron.wire.messages import Close, Error, Query, Response, Text

#: Every Gadgetron since 4.0 knows it.
_QUESTION = "gadgetron::info"


class NoAnswerError(Exception):
    """Nothing, or nothing sensible, came back; the text says what did."""


async def probe(address: Address, timeout_s: float) -> str:
    """Ask who is there; the first line of the answer.

    Raises:
        NoAnswerError: nobody there, or not a Gadgetron.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                for message in (Query(_QUESTION, 1), Close()):
                    writer.writelines(encode(message))
                return await _answer(reader)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        raise NoAnswerError(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise NoAnswerError(f"the connection broke ({error.strerror or error})") from None


async def _answer(reader: asyncio.StreamReader) -> str:
    decoder = Decoder()
    try:
        while data := await reader.read(1 << 16):
            decoder.feed(data)
            for message in decoder.messages():
                match message:
                    case Response(text, 1):
                        return text.strip().partition("\n")[0]
                    case Text(text) | Error(text):
                        raise NoAnswerError(text)
    except ProtocolError:
        raise NoAnswerError("what answers there is not a Gadgetron") from None
    raise NoAnswerError("it hung up without an answer")
