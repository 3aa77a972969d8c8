"""The sidecar's admin HTTP server: the pages of a node, for a Gadgetron that has none.

No password, as with a node: it listens on loopback, or inside a cluster behind a network policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from elastron.service.http import cross_site, http_server, refused_cross_site
from elastron.service.pages import health_page, metrics_page, readiness_page, state_page
from elastron.service.queries import answer_status

if TYPE_CHECKING:
    from elastron.node.beside.sidecar import Sidecar
    from elastron.service.address import Address

#: A blank line so often while a drain waits: busybox's wget gives up after 15 minutes of silence.
_SIGN_OF_LIFE_S = 10.0


def make_app(sidecar: Sidecar) -> Starlette:
    """The admin application of `sidecar`."""

    async def status(_request: Request) -> Response:
        return PlainTextResponse(answer_status(sidecar.status()), media_type="application/json")

    async def sessions(_request: Request) -> Response:
        return JSONResponse(
            {
                "capacity": sidecar.settings.capacity,
                "draining": sidecar.draining,
                "sessions": sidecar.describe_sessions(),
            }
        )

    async def workers(_request: Request) -> Response:
        return PlainTextResponse(await sidecar.workers(), media_type="application/json")

    async def drain(request: Request) -> Response:
        if cross_site(request):
            return refused_cross_site()
        return StreamingResponse(_drained(sidecar), media_type="application/json")

    return Starlette(
        routes=[
            health_page("/livez"),
            state_page("/healthz", "ok", sidecar.unwell_reason),
            readiness_page(sidecar.unready_reason),
            metrics_page(sidecar.metrics.exposition),
            Route("/status", status),
            Route("/sessions", sessions),
            Route("/workers", workers),
            # GET too: a preStop may have no other program than busybox's wget.
            Route("/drain", drain, methods=["GET", "POST"]),
        ]
    )


async def _drained(sidecar: Sidecar) -> AsyncIterator[str]:
    """Blank lines while it waits, then JSON."""
    draining = asyncio.ensure_future(sidecar.drain())
    try:
        yield "\n"
        while not (await asyncio.wait({draining}, timeout=_SIGN_OF_LIFE_S))[0]:
            yield "\n"
        left = draining.result()
        yield json.dumps({"drained": left == 0, "left": left}) + "\n"
    finally:
        draining.cancel()


@contextlib.asynccontextmanager
async def admin_server(sidecar: Sidecar, address: Address) -> AsyncIterator[Address]:
    """Serve the admin pages in this event loop; gives the address with the port in use.

    Raises:
        ElastronError: the address cannot be listened on.
    """
    async with http_server(make_app(sidecar), address) as bound:
        yield bound
