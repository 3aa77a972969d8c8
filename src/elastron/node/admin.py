"""The admin HTTP server: health, readiness, metrics, status, sessions, drain.

It has no password: it listens on loopback, or inside a cluster behind a network policy. A web page
in somebody's browser must not be able to use it all the same, so cross-site requests that change
something are refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from elastron.node.status import status_of
from elastron.service.http import cross_site, http_server, refused_cross_site
from elastron.service.pages import drain_page, health_page, metrics_page, readiness_page
from elastron.service.queries import answer_status

if TYPE_CHECKING:
    from elastron.node.supervisor import Node
    from elastron.service.address import Address


def make_app(node: Node) -> Starlette:
    """The admin application of `node`."""

    async def status(_request: Request) -> Response:
        return PlainTextResponse(answer_status(status_of(node)), media_type="application/json")

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
        if cross_site(request):
            return refused_cross_site()
        session_id = request.path_params["session_id"]
        if not node.cancel(session_id, "cancelled by the operator"):
            return JSONResponse({"error": f"no session {session_id!r} runs here"}, 404)
        return JSONResponse({"cancelled": session_id}, 202)

    return Starlette(
        routes=[
            health_page(),
            readiness_page(node.unready_reason),
            metrics_page(node.metrics.exposition),
            Route("/status", status),
            Route("/sessions", sessions),
            Route("/sessions/{session_id}", cancel, methods=["DELETE"]),
            Route("/sessions/{session_id}/cancel", cancel, methods=["POST"]),
            Route("/workers", workers),
            drain_page(node.drain),
        ]
    )


@contextlib.asynccontextmanager
async def admin_server(node: Node, address: Address) -> AsyncIterator[Address]:
    """Serve the admin pages in this event loop; gives the address with the port in use.

    Raises:
        ElastronError: the address cannot be listened on.
    """
    async with http_server(make_app(node), address) as bound:
        yield bound
