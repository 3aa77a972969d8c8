"""The ASGI application around the service: who may, which route, what answer, what is told."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import time
import traceback
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from elastron.errors import DeadlineError, StorageError, StorageUnavailableError
from elastron.storage.messages import Headers, Reply, Request, error_reply
from elastron.storage.metrics import Metrics
from elastron.storage.problems import (
    MissingBytesError,
    RequestError,
    StagedRecordGoneError,
    StoreFullError,
    UploadCutError,
)
from elastron.storage.service import Route, Service
from elastron.storage.settings import StorageSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = structlog.get_logger(__name__)

CLIENT_CLOSED_REQUEST = 499
"""Nobody is there to read it: only for logs and metrics (nginx's word for it)."""

_HOST = re.compile(rb"[A-Za-z0-9._~%-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")
# Any of them: the client is behind a proxy, wherever that runs.
_FORWARDED = {b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"}
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))


class App:
    """One server's application."""

    def __init__(self, service: Service, metrics: Metrics, settings: StorageSettings) -> None:
        self._service = service
        self._metrics = metrics
        self._tokens = [token.encode() for token in settings.tokens()]
        self._proxies = [ipaddress.ip_network(n, strict=False) for n in settings.trusted_proxies]
        self._guarded = bool(self._tokens or settings.tls_client_ca)
        self._idle_s = settings.idle_timeout_s
        self._rate_min = settings.upload_bytes_per_s_min
        self._log_requests = settings.log_requests

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError("the storage server speaks HTTP only")
        began = time.perf_counter()
        request_id = str(uuid.uuid4())
        method: str = scope["method"]
        route = self._service.route(scope["raw_path"])
        name = route.name if route else "unknown"
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            reply = await self._reply(scope, receive, route)
            reply.headers.append((b"x-request-id", request_id.encode()))
            status = await self._send(reply, receive, send, head=method == "HEAD")
            seconds = time.perf_counter() - began
            label = method if method in _METHODS else "other"
            self._metrics.requests.labels(label, name, status).inc()
            self._metrics.seconds.labels(name).observe(seconds)
            if self._log_requests:
                # Neither path nor query: both hold the subject, which is a patient's ID.
                log.info(
                    "request",
                    method=label,
                    route=name,
                    status=status,
                    latency_ms=round(seconds * 1000, 3),
                )

    async def _reply(self, scope: Message, receive: Receive, route: Route | None) -> Reply:
        try:
            request = self._request(scope, receive)
            return await self._dispatch(request, route)
        except Exception as error:
            return _refusal(error)

    async def _dispatch(self, request: Request, route: Route | None) -> Reply:
        if not (route and route.open) and not self._allowed(request.headers):
            return error_reply(
                401,
                "Unauthorized",
                "This server asks for a bearer token.",
                [(b"www-authenticate", b"Bearer")],
            )
        if route is None:
            return Reply(404)
        handler = route.methods.get(request.method)
        if handler is None:
            return Reply(405, [(b"allow", ", ".join(route.methods).encode())])
        return await handler(request)

    def _allowed(self, headers: Any) -> bool:
        if not self._tokens:
            return True
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        matches = [hmac.compare_digest(given.strip(), token) for token in self._tokens]
        return scheme.lower() == b"bearer" and any(matches)

    def _request(self, scope: Message, receive: Receive) -> Request:
        headers = dict(scope["headers"])
        client_host = scope["client"][0] if scope["client"] else ""
        return Request(
            method=scope["method"],
            path=scope["raw_path"],
            query=scope["query_string"],
            headers=headers,
            origin=self._origin(scope, headers, client_host),
            may_list=self._guarded
            or (_is_loopback(client_host) and not _FORWARDED & headers.keys()),
            body=lambda: self._body(receive),
        )

    def _origin(self, scope: Message, headers: dict[bytes, bytes], client_host: str) -> str:
        scheme: bytes = scope["scheme"].encode()
        host: bytes = headers.get(b"host", b"")
        if not host:  # HTTP/1.0
            address, port = scope["server"]
            host = (f"[{address}]:{port}" if ":" in address else f"{address}:{port}").encode()
        if self._trusts(client_host):
            # The nearest proxy speaks last.
            told = headers.get(b"x-forwarded-proto", scheme).rpartition(b",")[2].strip().lower()
            scheme = told if told in (b"http", b"https") else scheme
            host = headers.get(b"x-forwarded-host", host).rpartition(b",")[2].strip()
        if not _HOST.fullmatch(host):
            raise RequestError(400, "InvalidHost", "The Host header is no host name.")
        return f"{scheme.decode()}://{host.decode()}"

    def _trusts(self, client_host: str) -> bool:
        if not self._proxies:
            return False
        try:
            address = ipaddress.ip_address(client_host)
        except ValueError:
            return False
        return any(address in network for network in self._proxies)

    async def _body(self, receive: Receive) -> AsyncIterator[bytes]:
        began, received = time.monotonic(), 0
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    message = await receive()
            except TimeoutError:
                raise DeadlineError(f"No bytes came for {self._idle_s:g} s.") from None
            if message["type"] == "http.disconnect":
                raise UploadCutError("The client went away in the middle of an upload.")
            chunk = message.get("body", b"")
            received += len(chunk)
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                return
            seconds = time.monotonic() - began
            if seconds > self._idle_s and received < self._rate_min * seconds:
                raise DeadlineError(f"The upload is slower than {self._rate_min} bytes a second.")

    async def _send(self, reply: Reply, receive: Receive, send: Send, *, head: bool) -> int:
        """Send `reply`; returns the status that really came of it."""
        if reply.status == CLIENT_CLOSED_REQUEST:
            # Nobody reads it, but the HTTP server must see an answer.
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return CLIENT_CLOSED_REQUEST
        body = reply.body
        headers: Headers = list(reply.headers)
        if reply.status not in (204, 304):
            length = reply.length
            if length is None:
                length = len(body) if isinstance(body, bytes) else 0
            headers.append((b"content-length", b"%d" % length))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": b"" if head else body})
            return reply.status
        return await self._stream(body, reply.status, receive, send)

    async def _stream(
        self, body: AsyncGenerator[bytes, None], status: int, receive: Receive, send: Send
    ) -> int:
        gone: asyncio.Task[None] | None = None
        try:
            async for chunk in body:
                if gone is not None and gone.done():
                    return CLIENT_CLOSED_REQUEST
                async with asyncio.timeout(self._idle_s):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                # A reader that left is not noticed by sending; watch for it in long answers.
                gone = gone or asyncio.ensure_future(_disconnected(receive))
            await send({"type": "http.response.body", "body": b""})
        except (TimeoutError, StorageError) as error:
            # The answer stays incomplete, and the HTTP server closes the connection: the client
            # sees fewer bytes than Content-Length.
            reason = "the reader stood still" if isinstance(error, TimeoutError) else str(error)
            log.error("download broken off", reason=reason)
            return 500 if isinstance(error, StorageError) else CLIENT_CLOSED_REQUEST
        finally:
            if gone is not None:
                gone.cancel()
            await body.aclose()
        return status


def _refusal(error: Exception) -> Reply:
    """What the client hears of an error, and what the log does."""
    soon = [(b"retry-after", b"1")]
    match error:
        case RequestError():
            return error_reply(error.status, error.code, error.message)
        case DeadlineError():
            return error_reply(408, "TooSlow", str(error), [(b"connection", b"close")])
        case UploadCutError():
            return Reply(CLIENT_CLOSED_REQUEST)
        case StagedRecordGoneError():
            reply = error_reply(503, "UploadCollected", str(error), soon)
        case StoreFullError():
            reply = error_reply(507, "InsufficientStorage", str(error))
        case StorageUnavailableError():
            reply = error_reply(503, "Unavailable", str(error), soon)
        case MissingBytesError():
            log.error("bytes of a blob are missing", blob=error.blob, error=str(error))
            return Reply(500, error.headers)
        case _:
            # The error's own text may quote a tag: only its type and its place are told.
            frames = traceback.extract_tb(error.__traceback__)
            place = [f"{frame.filename}:{frame.lineno}" for frame in frames[-6:]]
            log.error("request failed", error=type(error).__name__, place=place)
            return Reply(500)
    log.error("request not served", status=reply.status, error=str(error))
    return reply


def _is_loopback(client_host: str) -> bool:
    try:
        return ipaddress.ip_address(client_host).is_loopback
    except ValueError:
        return False


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
