"""Admin HTTP: health, metrics, the fleet, the queue, sessions, events, kept images.

No password: it listens on loopback, or inside a cluster behind a network policy. Images alone need
the ticket their client was given. Requests that a web page of another site makes in somebody's
browser, and that would change something or read images, are refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from elastron.errors import CapacityError
from elastron.fleet.model import Node, NodeState
from elastron.gateway.recording import Recording
from elastron.gateway.results import Result, Standing
from elastron.gateway.sse import event_stream
from elastron.service.address import Address
from elastron.service.http import cross_site, http_server, refused_cross_site
from elastron.service.pages import drain_page, health_page, metrics_page, readiness_page

if TYPE_CHECKING:
    from elastron.gateway.server import Gateway

#: Entries of the archive in one answer, the newest.
_ARCHIVE_MAX = 1000
#: Seconds after which a client may ask again for images that are not there yet.
_RETRY_S = 1

_INDEX = {
    "GET /healthz": "200 while the process works",
    "GET /readyz": "200 while scans are taken, else 503 with the reason",
    "GET /metrics": "Prometheus",
    "GET /fleet": "nodes and pools",
    "GET /queue": "scans that wait for a node",
    "GET /sessions": "scans that run or wait",
    "DELETE /sessions/{id}": "cancel one",
    "GET /workers": "addresses of ready nodes, least loaded first",
    "GET /events": "every change of nodes, queue and sessions (server-sent events)",
    "GET /results": "images kept for clients that left",
    "GET /results/{ticket}": "one scan's images, as a Gadgetron stream",
    "GET /archive": "archived scans, the newest",
    "POST /drain": "take no more scans, wait for those that run",
}


def make_app(gateway: Gateway) -> Starlette:
    """The admin application of `gateway`."""

    async def index(_request: Request) -> Response:
        return JSONResponse(_INDEX)

    async def fleet(_request: Request) -> Response:
        return JSONResponse({"nodes": gateway.registry.describe(), "pools": gateway.placer.pools()})

    async def queue(_request: Request) -> Response:
        return JSONResponse({"queue": gateway.placer.queue()})

    async def sessions(_request: Request) -> Response:
        described = [session.describe() for session in gateway.sessions.values()]
        return JSONResponse({"draining": gateway.draining, "sessions": described})

    async def workers(request: Request) -> Response:
        asker = request.query_params.get("not")
        peer = None if request.client is None else request.client.host
        return JSONResponse(ready_workers(gateway.registry.nodes(), asker=asker, peer=peer))

    async def events(_request: Request) -> Response:
        try:
            subscription = gateway.events.subscribe()
        except CapacityError as error:
            return JSONResponse({"error": str(error)}, 503)
        return StreamingResponse(
            event_stream(subscription, snapshot, running),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    def snapshot() -> dict[str, Any]:
        return {
            "nodes": gateway.registry.describe(),
            "pools": gateway.placer.pools(),
            "queue": gateway.placer.queue(),
            "sessions": running(),
        }

    def running() -> list[dict[str, Any]]:
        return [session.describe() for session in gateway.sessions.values()]

    async def cancel(request: Request) -> Response:
        if cross_site(request):
            return refused_cross_site()
        session_id = request.path_params["session_id"]
        session = gateway.sessions.get(session_id)
        if session is None:
            return JSONResponse({"error": f"no session {session_id!r} is here"}, 404)
        session.cancel("cancelled by the operator")
        return JSONResponse({"cancelled": session_id}, 202)

    async def results(_request: Request) -> Response:
        return JSONResponse({"results": gateway.results.describe()})

    async def result(request: Request) -> Response:
        if cross_site(request):
            return refused_cross_site()
        standing, found = gateway.results.find(request.path_params["ticket"])
        if found is None:
            return _no_result(standing)
        if found.recording is None:
            session = gateway.sessions.get(found.session)
            return _not_yet(found, {} if session is None else session.describe())
        return _images(found, found.recording)

    async def archive(_request: Request) -> Response:
        if not gateway.archive.active:
            return JSONResponse({"error": "the archive is off (archive.keep)"}, 404)
        entries = await asyncio.to_thread(gateway.archive.folder.entries)
        return JSONResponse(
            {
                "folder": str(gateway.archive.folder.path.absolute()),
                "bytes": sum(entry.bytes for entry in entries),
                "scans": len(entries),
                "archive": [entry.describe() for entry in entries[-_ARCHIVE_MAX:]],
            }
        )

    return Starlette(
        routes=[
            Route("/", index),
            health_page(),
            readiness_page(gateway.unready_reason),
            metrics_page(gateway.metrics.exposition),
            Route("/fleet", fleet),
            Route("/queue", queue),
            Route("/sessions", sessions),
            Route("/sessions/{session_id}", cancel, methods=["DELETE"]),
            Route("/sessions/{session_id}/cancel", cancel, methods=["POST"]),
            Route("/workers", workers),
            Route("/events", events),
            Route("/results", results),
            Route("/results/{ticket}", result),
            Route("/archive", archive),
            drain_page(gateway.drain),
        ]
    )


@contextlib.asynccontextmanager
async def admin_server(gateway: Gateway, address: Address) -> AsyncIterator[Address]:
    """Serve the admin pages in this event loop; gives the address with the port in use.

    Who listens to events is told of the end; so this goes down at once.

    Raises:
        ElastronError: the address cannot be listened on.
    """
    async with http_server(make_app(gateway), address) as bound:
        try:
            yield bound
        finally:
            gateway.events.close()


def ready_workers(
    nodes: list[Node], *, asker: str | None = None, peer: str | None = None
) -> list[str]:
    """Addresses of ready nodes, least loaded first, without the one that asks.

    Args:
        nodes: the fleet.
        asker: HOST:PORT of the node that asks, as the fleet knows it; None if it does not say.
        peer: the address its question came from. It tells who asks if one node alone lives there.
    """
    if asker is None and peer is not None:
        there = [node.address for node in nodes if _same_host(node.address, peer)]
        asker = there[0] if len(there) == 1 else None
    ready = [node for node in nodes if node.state is NodeState.READY and node.address != asker]
    ready.sort(key=lambda node: (node.running / max(1, node.capacity), node.running, node.id))
    return [node.address for node in ready]


def _same_host(address: str, peer: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    peer = peer.removeprefix("::ffff:")
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(peer)
    except ValueError:
        return host == peer


def _no_result(standing: Standing) -> Response:
    if standing is Standing.EXPIRED:
        words = "these images were kept long enough, or were delivered; send the scan again"
        return JSONResponse({"error": words}, 410)
    return JSONResponse({"error": "there is no such result; is the ticket whole?"}, 404)


def _not_yet(found: Result, session: dict[str, Any]) -> Response:
    told = ("state", "queue_position", "node", "images", "seconds")
    progress = {name: session[name] for name in told if name in session}
    return JSONResponse(
        {"session": found.session, **progress}, 202, headers={"retry-after": str(_RETRY_S)}
    )


def _images(found: Result, recording: Recording) -> Response:
    async def pieces() -> AsyncIterator[memoryview]:
        with found.reading():
            async for piece in recording.pieces():
                yield piece

    return StreamingResponse(
        pieces(),
        media_type="application/octet-stream",
        headers={
            "content-length": str(recording.content_bytes),
            "elastron-session": found.session,
            "elastron-outcome": found.outcome,
            "elastron-images": str(found.images),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
        },
    )
