"""The controller's admin pages: health, what it sees and does, the demand for KEDA; read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from elastron.service.pages import health_page

if TYPE_CHECKING:
    from elastron.autoscaler.controller import Controller


def make_app(controller: Controller) -> Starlette:
    """The admin application of `controller`."""

    async def status(_request: Request) -> Response:
        return JSONResponse(controller.describe())

    async def demand(request: Request) -> Response:
        pool = request.path_params["pool"]
        if controller.demand is None:
            # KEDA then holds what its fallback says.
            return JSONResponse({"error": "the demand is not known"}, 503)
        if pool not in controller.demand:
            return JSONResponse({"error": f"there is no pool {pool!r}"}, 404)
        return JSONResponse({"demand": controller.demand[pool]})

    return Starlette(
        routes=[
            health_page(),
            health_page("/readyz"),
            Route("/status", status),
            Route("/demand/{pool}", demand),
        ]
    )
