"""The admin HTTP server: health, readiness, metrics, sessions, drain.

It has no password: it listens on loopback, or inside a cluster behind a network policy. A web page
in somebody's browser must not be able to use it all the same, so cross-site requests that change
something are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from elastron.node.listening import listen

if TYPE_CHECKING:
    from elastron.node.settings import Address
    from elastron.node.supervisor import Node


_SHUTDOWN_S = 1


def make_app(node: Node) -> Starlette:
    """The admin application of `node`."""

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readiness(_request: Request) -> Response:
        reason = node.unready_reason()
        return PlainTextResponse(
            "ready\n" if reason is None else reason + "\n", 200 if reason is None else 503
        )

    async def metrics(_request: Request) -> Response:
        return Response(node.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    async def sessions(_request: Request) -> Response:
        return JSONResponse(
            {
                "capacity": node.settings.capacity,
                "draining": node.draining,
                "sessions": node.describe_sessions(),
            }
        )

    async def workers(_request: Request) -> Response:
        return JSONResponse([str(node.address)])

    async def cancel(request: Request) -> Response:
        if _cross_site(request):
            return _refused()
        session_id = request.path_params["session_id"]
        if not node.cancel(session_id, "cancelled by the operator"):
            return JSONResponse({"error": f"no session {session_id!r} runs here"}, 404)
        return JSONResponse({"cancelled": session_id}, 202)

    async def drain(request: Request) -> Response:
        if _cross_site(request):
            return _refused()
        cancelled = await node.drain()
        return JSONResponse({"drained": True, "cancelled": cancelled})

    return Starlette(
        routes=[
            Route("/healthz", health),
            Route("/readyz", readiness),
            Route("/metrics", metrics),
            Route("/sessions", sessions),
            Route("/sessions/{session_id}", cancel, methods=["DELETE"]),
            Route("/sessions/{session_id}/cancel", cancel, methods=["POST"]),
            Route("/workers", workers),
            Route("/drain", drain, methods=["POST"]),
        ]
    )


def _cross_site(request: Request) -> bool:
    # Every current browser sends this header; curl and Kubernetes do not.
    return request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _refused() -> Response:
    return JSONResponse({"error": "cross-site requests may not change anything"}, 403)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the node has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def admin_server(node: Node, address: Address) -> AsyncIterator[Address]:
    """Serve the admin pages in this event loop; gives the address with the port in use.

    Raises:
        ElastronError: the address cannot be listened on.
    """
    sock, bound = listen(address)
    config = uvicorn.Config(
        make_app(node),
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
