"""An admin HTTP server within a server's own event loop.

It has no password: it listens on loopback, or inside a cluster behind a network policy. A web page
in somebody's browser must not be able to use it all the same, so cross-site requests that change
something are to be refused (`cross_site`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from elastron.service.address import Address
from elastron.service.listening import listen

_SHUTDOWN_S = 1
#: A client that takes no byte of its answer for so long is let go, by the kernel (Linux).
_STALL_S = 60.0


def cross_site(request: Request) -> bool:
    """A page of another site sent it."""
    # Every current browser sends this header; curl and Kubernetes do not.
    return request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def refused_cross_site() -> Response:
    """The answer to a cross-site request that would change something."""
    return JSONResponse({"error": "cross-site requests may not change anything"}, 403)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: our servers have their own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def http_server(
    app: ASGIApp, address: Address, *, stall_s: float = _STALL_S
) -> AsyncIterator[Address]:
    """Serve `app` in this event loop; gives the address with the port in use.

    Args:
        app: an ASGI application.
        address: to listen on.
        stall_s: how long a client may take no byte of an answer.

    Raises:
        ElastronError: the address cannot be listened on.
    """
    sock, bound = listen(address)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections inherit it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stall_s * 1000))
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        # The socket listens already: whoever connects before the server runs is served then.
        yield bound
    finally:
        server.should_exit = True
        await serving
        sock.close()
