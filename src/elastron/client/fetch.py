"""Fetching the images of a scan that was left with a gateway."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from elastron.client.receipt import Receipt
from elastron.client.result import (
    Result,
    ScanGarbledError,
    ScanLostError,
    ScanRefusedError,
    ScanStalledError,
)
from elastron.errors import (
    ConnectError,
    ConnectionLostError,
    DataError,
    DeadlineError,
    ProtocolError,
    RemoteError,
)
from elastron.mrd.image import Image
from elastron.wire import Decoder
from elastron.wire.messages import Close, Message

#: An answer that is no images is short.
_WORDS_BYTES_MAX = 64 << 10
_PAUSE_S = 1.0

#: Silence of the gateway that is borne unless said otherwise; it answers at once.
TIMEOUT_S = 60.0


class NotThereError(RemoteError):
    """The gateway does not have these images: it never had, or not any more."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A scan that is not finished yet.

    Attributes:
        session: the gateway's name for it.
        state: what it does.
        queue_position: its place in the queue, 1 for the next; None if it does not wait.
        images: made so far.
        seconds: since the fetching began.
    """

    session: str
    state: str
    queue_position: int | None
    images: int
    seconds: float


def fetch(
    gateway: str,
    ticket: str,
    *,
    wait: bool = True,
    timeout_s: float = TIMEOUT_S,
    on_image: Callable[[Image], None] | None = None,
    on_text: Callable[[str], None] | None = None,
    on_other: Callable[[Message], None] | None = None,
    on_waiting: Callable[[Waiting], None] | None = None,
    on_bytes: Callable[[int, int | None], None] | None = None,
) -> Result:
    """Fetch a scan's images.

    Args:
        gateway: URL of its admin server.
        ticket: that the scan was left for.
        wait: until the scan is finished; else a running one is an error.
        timeout_s: how long the gateway may be silent.
        on_image, on_text, on_other: as of `Client.send`.
        on_waiting: told about once a second while the scan is not finished.
        on_bytes: told how much of how much has come.

    Raises:
        ConnectError: nobody answers there.
        NotThereError: no such images, or not any more.
        DeadlineError: not finished yet, and `wait` is False; or the gateway is silent.
        RemoteError: the gateway answers with an error.
        ScanRefusedError: the scan ended with errors; what came is in its `result`.
        ScanLostError: the images break off.
        ScanGarbledError: what comes is not the Gadgetron protocol.
    """
    path = f"/results/{_checked(ticket)}"
    result = Result()
    begun = time.monotonic()
    receive = Receipt(result, begun, on_image, on_text, on_other)
    # Past any proxy: a gateway is near, and a ticket nobody else's business.
    with httpx.Client(base_url=gateway, timeout=timeout_s, trust_env=False) as http:
        while True:
            with _asked(http, gateway, path, timeout_s) as answer:
                if answer.status_code == httpx.codes.OK:
                    _receive(answer, receive, result, on_bytes)
                    break
                waiting = _waiting(gateway, answer, time.monotonic() - begun)
            if not wait:
                raise DeadlineError(
                    f"The scan is not finished yet ({waiting.state}). Fetch it later, or wait."
                )
            if on_waiting is not None:
                on_waiting(waiting)
            time.sleep(_PAUSE_S)
    result.seconds = time.monotonic() - begun
    if result.errors:
        raise ScanRefusedError("\n".join(result.errors), result)
    return result


def _checked(ticket: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z_-]+", ticket):
        raise DataError("A ticket has letters, digits, - and _ only. Copy it whole.")
    return ticket


@contextlib.contextmanager
def _asked(
    http: httpx.Client, gateway: str, path: str, timeout_s: float
) -> Iterator[httpx.Response]:
    """The answer's head; its body is still to be read."""
    try:
        answer = http.send(http.build_request("GET", path), stream=True)
    except httpx.TimeoutException as error:
        raise DeadlineError(f"{gateway} did not answer for {timeout_s:g} s.") from error
    except httpx.TransportError as error:
        raise ConnectError(
            f"No gateway's admin server answers at {gateway} ({error}). Is it running, and is the "
            "address that of its --admin?"
        ) from error
    try:
        yield answer
    finally:
        answer.close()


def _waiting(gateway: str, answer: httpx.Response, seconds: float) -> Waiting:
    """What an answer without images says; raises unless it is to wait."""
    told = _words(answer)
    if answer.status_code == httpx.codes.ACCEPTED:
        return Waiting(
            session=str(told.get("session", "")),
            state=str(told.get("state", "running")),
            queue_position=told.get("queue_position"),
            images=told.get("images") or 0,
            seconds=seconds,
        )
    words = told.get("error") or f"HTTP {answer.status_code}"
    if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise NotThereError(f"{gateway}: {words}.")
    raise RemoteError(f"{gateway} answers with an error: {words}.")


def _words(answer: httpx.Response) -> dict[str, Any]:
    body = bytearray()
    try:
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > _WORDS_BYTES_MAX:
                return {}
        told = json.loads(body)
    except (httpx.TransportError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _receive(
    answer: httpx.Response,
    receive: Receipt,
    result: Result,
    on_bytes: Callable[[int, int | None], None] | None,
) -> None:
    """Take the stream up to its CLOSE; raises if it has none."""
    length = answer.headers.get("content-length", "")
    total = int(length) if length.isdecimal() else None
    decoder = Decoder()
    reason = "it has no end"
    try:
        for piece in answer.iter_raw():
            decoder.feed(piece)
            result.bytes_received += len(piece)
            if on_bytes is not None:
                on_bytes(result.bytes_received, total)
            for message in decoder.messages():
                if isinstance(message, Close):
                    return
                receive(message)
        decoder.eof()
    except httpx.TimeoutException as error:
        words = f"The images stopped coming; {_came(result)}."
        raise ScanStalledError(words, result) from error
    except (httpx.TransportError, ConnectionLostError) as error:
        reason = str(error)
    except ProtocolError as error:
        words = f"The images are no Gadgetron stream: {error}; {_came(result)}."
        raise ScanGarbledError(words, result) from error
    raise ScanLostError(f"The images break off ({reason}); {_came(result)}.", result)


def _came(result: Result) -> str:
    count = result.image_count
    return f"{count} image{'s' * (count != 1)} came until then; fetching again may succeed"
