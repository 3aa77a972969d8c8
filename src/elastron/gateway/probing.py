"""Asking a node how it is: over its admin HTTP server, or over the Gadgetron protocol itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elastron.errors import (
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    ElastronError,
    RemoteError,
)
from elastron.wire import Decoder, Limits, encode
from elastron.wire.faults import Fault, fault_of
from elastron.wire.messages import Close, Query, Response, Text

#: A status has some hundred bytes; with a long list of sessions some kilobytes.
_ANSWER_BYTES_MAX = 256 * 1024
_UNKNOWN = "Unknown query"
_MEMORY_MB = re.compile(r"System Memory size\s*:\s*(\d{1,12})\s*MB")


class _Answer(BaseModel):
    """What `elastron::status` and `GET /status` tell; more is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = Field("", max_length=100)
    capacity: int = Field(ge=1, le=100_000)
    running: int = Field(ge=0, le=1_000_000)
    draining: bool = False
    ready: bool = True
    capabilities: frozenset[str] = Field(frozenset(), max_length=100)
    memory_bytes: int | None = Field(None, ge=0)


@dataclass(frozen=True, slots=True)
class Status:
    """How a node says it is.

    Attributes:
        capacity: scans at once; None: it does not tell (an upstream Gadgetron).
        running: scans it runs; None: it does not tell.
        ready: it could take one now, if a place is free.
        draining: it finishes what runs and takes nothing new.
        full: it refused the question for want of a place.
        capabilities: what it can do beyond the common.
        memory_bytes: for its scans; None: it does not tell.
    """

    capacity: int | None = None
    running: int | None = None
    ready: bool = True
    draining: bool = False
    full: bool = False
    capabilities: frozenset[str] = frozenset()
    memory_bytes: int | None = None


class Prober:
    """Asks nodes; one for all of them, so that connections are kept.

    Args:
        timeout_s: for a whole question and answer.
        connections_max: questions at once.
    """

    def __init__(self, *, timeout_s: float, connections_max: int) -> None:
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(connections_max)
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            limits=httpx.Limits(
                max_connections=connections_max, max_keepalive_connections=connections_max
            ),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the kept connections."""
        await self._client.aclose()

    async def ask(self, address: str, admin: str | None) -> Status:
        """How a node is.

        Args:
            address: HOST:PORT for scans.
            admin: HOST:PORT of its admin HTTP server; None: asked over `address`.

        Raises:
            ConnectError: nobody listens there.
            DeadlineError: it does not answer in time.
            ConnectionLostError: it hung up.
            RemoteError: its answer cannot be understood.
        """
        async with self._turns:
            try:
                async with asyncio.timeout(self._timeout_s):
                    if admin is not None:
                        found = await self._ask_admin(admin)
                        if found is not None:
                            return found
                    return await self._ask_queries(address)
            except TimeoutError as error:
                raise DeadlineError(f"no answer within {self._timeout_s:g} s") from error

    async def _ask_admin(self, admin: str) -> Status | None:
        """By HTTP; None when its admin server knows no `/status`."""
        try:
            try:
                code, data = await self._get(f"http://{admin}/status")
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                # A kept connection that the node closed meanwhile says nothing of the node.
                code, data = await self._get(f"http://{admin}/status")
        except httpx.TimeoutException as error:
            raise DeadlineError("its admin server does not answer in time") from error
        except httpx.ConnectError as error:
            raise ConnectError("nobody answers at its admin address") from error
        except httpx.HTTPError as error:
            raise ConnectionLostError(
                f"its admin server hung up ({type(error).__name__})"
            ) from error
        except httpx.InvalidURL as error:
            raise ConnectError("its admin address is none") from error
        if code == 404:
            return None
        if code != 200:
            raise RemoteError(f"its admin server answers {code}")
        return _read_status(data)

    async def _get(self, url: str) -> tuple[int, bytes]:
        async with self._client.stream("GET", url) as answer:
            data = b""
            async for piece in answer.aiter_raw():
                data += piece
                if len(data) > _ANSWER_BYTES_MAX:
                    raise RemoteError("its admin server's answer is too long")
            return answer.status_code, data

    async def _ask_queries(self, address: str) -> Status:
        """By QUERY: ours knows `elastron::status`, every Gadgetron `gadgetron::info`."""
        said = await _query(address, "elastron::status")
        if isinstance(said, Status):
            return said
        if said != _UNKNOWN:
            return _read_status(said.encode())
        said = await _query(address, "gadgetron::info")
        if isinstance(said, Status):
            return said
        memory = _MEMORY_MB.search(said)
        return Status(memory_bytes=int(memory[1]) << 20 if memory else None)


def _read_status(data: bytes) -> Status:
    try:
        told = _Answer.model_validate(json.loads(data))
    except (ValidationError, ValueError) as error:
        raise RemoteError("its status cannot be understood") from error
    return Status(
        told.capacity,
        told.running,
        told.ready,
        told.draining,
        capabilities=told.capabilities,
        memory_bytes=told.memory_bytes,
    )


async def _query(address: str, query: str) -> str | Status:
    """The answer to a QUERY; a `Status` when the node refuses for one of the known reasons."""
    host, _, port = address.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(
            host.removeprefix("[").removesuffix("]"), int(port), limit=_ANSWER_BYTES_MAX
        )
    except (OSError, ValueError) as error:
        raise ConnectError("nobody answers at its address") from error
    try:
        for message in (Query(query, correlation_id=1), Close()):
            writer.writelines(bytes(buffer) for buffer in encode(message))
        return await _response(reader)
    except OSError as error:
        raise ConnectionLostError("it hung up") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _response(reader: asyncio.StreamReader) -> str | Status:
    decoder = Decoder(Limits())
    received = 0
    while data := await reader.read(_ANSWER_BYTES_MAX):
        received += len(data)
        if received > _ANSWER_BYTES_MAX:
            raise RemoteError("its answer is too long")
        decoder.feed(data)
        try:
            for message in decoder.messages():
                if isinstance(message, Response):
                    return message.response
                if isinstance(message, Text):
                    return _refusal(message.text)
        except ElastronError as error:
            raise RemoteError("it does not speak the Gadgetron protocol") from error
    raise ConnectionLostError("it hung up without an answer")


def _refusal(text: str) -> Status:
    match fault_of(text):
        case Fault.NODE_DRAINING:
            return Status(draining=True)
        case Fault.NODE_FULL:
            return Status(full=True)
        case _:
            pass
    raise RemoteError("it answers with an error")
