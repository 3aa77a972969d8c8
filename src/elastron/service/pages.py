"""The pages that every admin server has: health, readiness, metrics, drain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from elastron.service.http import cross_site, refused_cross_site


def health_page(path: str = "/healthz") -> Route:
    """200 while the process works."""
    return state_page(path, "ok", lambda: None)


def readiness_page(unready_reason: Callable[[], str | None]) -> Route:
    """200 while work is taken, else 503 with the reason."""
    return state_page("/readyz", "ready", unready_reason)


def state_page(path: str, well: str, reason: Callable[[], str | None]) -> Route:
    """A page that says `well` with 200, or with 503 why not.

    Args:
        path: of the page.
        well: a word for it.
        reason: why not; None when all is well.
    """

    async def answer(_request: Request) -> Response:
        why = reason()
        return PlainTextResponse(f"{why or well}\n", 200 if why is None else 503)

    return Route(path, answer)


def metrics_page(exposition: Callable[[], bytes]) -> Route:
    """For Prometheus.

    Args:
        exposition: gives the metrics in its text format.
    """

    async def answer(_request: Request) -> Response:
        return Response(exposition(), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", answer)


def drain_page(drain: Callable[[], Awaitable[int]]) -> Route:
    """POST: take no more work, answer once that which runs is done.

    Args:
        drain: gives how much had to be cancelled.
    """

    async def answer(request: Request) -> Response:
        if cross_site(request):
            return refused_cross_site()
        return JSONResponse({"drained": True, "cancelled": await drain()})

    return Route("/drain", answer, methods=["POST"])
