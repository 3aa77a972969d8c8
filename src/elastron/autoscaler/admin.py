"""The autoscaler's admin HTTP server: health, metrics, what was decided and why; read-only."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from elastron.service.http import http_server
from elastron.service.pages import health_page, metrics_page, readiness_page

if TYPE_CHECKING:
    from elastron.autoscaler.loop import Autoscaler
    from elastron.autoscaler.metrics import AutoscalerMetrics
    from elastron.service.address import Address


def make_app(autoscaler: Autoscaler, metrics: AutoscalerMetrics) -> Starlette:
    """The admin application of `autoscaler`."""

    def unready_reason() -> str | None:
        return None if autoscaler.answered else "the gateway does not tell its demand"

    async def status(_request: Request) -> Response:
        return JSONResponse(autoscaler.describe())

    return Starlette(
        routes=[
            health_page(),
            readiness_page(unready_reason),
            metrics_page(metrics.exposition),
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
