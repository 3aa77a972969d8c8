"""The autoscaler's admin HTTP server: health, metrics, what was decided and why; read-only."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from elastron.service.http import http_server

if TYPE_CHECKING:
    from elastron.autoscaler.loop import Autoscaler
    from elastron.autoscaler.metrics import AutoscalerMetrics
    from elastron.service.address import Address


def make_app(autoscaler: Autoscaler, metrics: AutoscalerMetrics) -> Starlette:
    """The admin application of `autoscaler`."""

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readiness(_request: Request) -> Response:
        if autoscaler.answered:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("the gateway does not tell its demand\n", 503)

    async def exposition(_request: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    async def status(_request: Request) -> Response:
        return JSONResponse(autoscaler.describe())

    return Starlette(
        routes=[
            Route("/healthz", health),
            Route("/readyz", readiness),
            Route("/metrics", exposition),
            Route("/status", status),
        ]
    )


@contextlib.asynccontextmanager
async def admin_server(
    autoscaler: Autoscaler, metrics: AutoscalerMetrics, address: Address
) -> AsyncIterator[Address]:
    """Serve the admin pages in this event loop; gives the address with the port in use.

    Raises:
        ElastronError: the address cannot be listened on.
    """
    async with http_server(make_app(autoscaler, metrics), address) as bound:
        yield bound
