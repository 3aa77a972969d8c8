"""What each route does: a request in, a reply out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from elastron.errors import StorageError
from elastron.storage import openapi
from elastron.storage.garbage import GRACE_MS, remove
from elastron.storage.identity import BlobId, parse_segment
from elastron.storage.messages import (
    Reply,
    Request,
    data_headers,
    entity_tag,
    error_reply,
    item,
    json_reply,
)
from elastron.storage.metrics import CONTENT_TYPE, Metrics
from elastron.storage.ports import MetadataStore, ObjectStore
from elastron.storage.problems import BlobMissingError, MissingBytesError, RequestError
from elastron.storage.ranges import choose_part
from elastron.storage.search import next_link, next_position, parse_criteria
from elastron.storage.tags import BlobInfo, parse_new_blob
from elastron.storage.uploads import Uploads

Handler = Callable[[Request], Awaitable[Reply]]
READ = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Route:
    """A place and who serves it.

    Attributes:
        name: its path pattern, for metrics and logs; never holds an id.
        methods: method -> handler.
        open: served without a token.
    """

    name: str
    methods: dict[str, Handler]
    open: bool = False


class Service:
    """The API over a metadata store and a blob store."""

    def __init__(
        self,
        metadata: MetadataStore,
        objects: ObjectStore,
        uploads: Uploads,
        metrics: Metrics,
        *,
        clock: Callable[[], int],
        uploads_max: int,
    ) -> None:
        self._metadata = metadata
        self._objects = objects
        self._uploads = uploads
        self._metrics = metrics
        self._clock = clock
        self._uploads_max = uploads_max
        get = dict.fromkeys
        anything = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
        search = Route("/v1/blobs", get(READ, self.search))
        self._fixed = {
            b"/healthcheck": Route("/healthcheck", get(anything, self.health), open=True),
            b"/metrics": Route("/metrics", get(READ, self.expose_metrics)),
            b"/openapi.json": Route("/openapi.json", get(READ, openapi.document), open=True),
            b"/docs": Route("/docs", get(READ, openapi.page), open=True),
            b"/v1/blobs": search,
            b"/v1/blobs/": search,
            b"/v1/blobs/data": Route("/v1/blobs/data", {"POST": self.create}),
            b"/v1/blobs/data/latest": Route("/v1/blobs/data/latest", get(READ, self.latest)),
        }
        self._item = Route("/v1/blobs/{id}", {**get(READ, self.describe), "DELETE": self.delete})
        self._data = Route("/v1/blobs/{id}/data", get(READ, self.data))

    def route(self, path: bytes) -> Route | None:
        """Find the route of a raw path; the id in it is one percent-encoded segment."""
        if path in self._fixed:
            return self._fixed[path]
        segments = path.split(b"/")
        if segments[:3] != [b"", b"v1", b"blobs"]:
            return None
        if len(segments) == 4:
            return self._item
        return self._data if len(segments) == 5 and segments[4] == b"data" else None

    async def create(self, request: Request) -> Reply:
        """POST /v1/blobs/data."""
        content_type = request.headers.get(b"content-type", b"").decode("latin-1") or None
        new = parse_new_blob(request.pairs, content_type)
        if self._uploads.running >= self._uploads_max:
            return error_reply(
                503,
                "Busy",
                f"{self._uploads_max} uploads are under way; try again soon.",
                [(b"retry-after", b"1")],
            )
        info = await self._uploads.create(new, request.body(), request.content_length)
        self._metrics.bytes.labels("in").inc(info.size_bytes or 0)
        return json_reply(201, item(info, request.origin))

    async def search(self, request: Request) -> Reply:
        """GET /v1/blobs."""
        criteria = parse_criteria(request.pairs)
        if criteria.everything and not request.may_list:
            raise RequestError(
                403, "Forbidden", "Listing all subjects needs a token, or the server's own machine."
            )
        found = await self._metadata.search(criteria, now_ms=self._clock())
        shown = found[: criteria.limit]
        document: dict[str, object] = {"items": [item(info, request.origin) for info in shown]}
        if len(found) > len(shown):
            document["nextLink"] = next_link(
                request.origin,
                request.path.decode("ascii", "replace"),
                request.pairs,
                next_position(shown, found[-1]),
            )
        return json_reply(200, document)

    async def latest(self, request: Request) -> Reply:
        """GET /v1/blobs/data/latest."""
        criteria = parse_criteria(request.pairs)
        if criteria.everything:
            raise RequestError(400, "InvalidQuery", "Parameter 'subject' is missing.")
        found = await self._metadata.search(criteria.newest(), now_ms=self._clock())
        if not found:
            return error_reply(404, "EmptyResults", "No blob matches the query.")
        reply = await self._send(request, found[0])
        reply.headers.append((b"location", found[0].key.link(request.origin).encode()))
        return reply

    async def describe(self, request: Request) -> Reply:
        """GET /v1/blobs/{id}."""
        info = await self._find(request, grace_ms=0)
        return json_reply(200, item(info, request.origin)) if info else Reply(404)

    async def data(self, request: Request) -> Reply:
        """GET /v1/blobs/{id}/data; an expired blob's bytes are there for a while yet."""
        info = await self._find(request, grace_ms=GRACE_MS)
        return await self._send(request, info) if info else Reply(404)

    async def delete(self, request: Request) -> Reply:
        """DELETE /v1/blobs/{id}."""
        key = self._key(request)
        if key is None or not await self._metadata.expire(key, now_ms=self._clock()):
            return Reply(404)
        # Gone for every reader from here on. What fails now, garbage collection does later.
        await remove(self._metadata, self._objects, [key])
        return Reply(204)

    async def health(self, request: Request) -> Reply:
        """ANY /healthcheck."""
        errors: dict[str, str] = {}
        for name, check, message in (
            ("database", self._metadata.check, "failed to connect to database"),
            ("blobStore", self._objects.check, "error accessing storage"),
        ):
            try:
                await check()
            except StorageError:
                errors[name] = message
        if errors:
            return json_reply(503, {"status": "Service Unavailable", "errors": errors})
        return json_reply(200, {"status": "OK"})

    async def expose_metrics(self, request: Request) -> Reply:
        """GET /metrics."""
        return Reply(200, [(b"content-type", CONTENT_TYPE)], self._metrics.text())

    @staticmethod
    def _key(request: Request) -> BlobId | None:
        return parse_segment(request.path.split(b"/")[3])

    async def _find(self, request: Request, *, grace_ms: int) -> BlobInfo | None:
        key = self._key(request)
        if key is None:
            return None
        return await self._metadata.get(key, expires_after_ms=self._clock() - grace_ms)

    async def _send(self, request: Request, info: BlobInfo) -> Reply:
        headers = data_headers(info)
        try:
            size = info.size_bytes
            if size is None or request.method == "HEAD":
                size = await self._objects.size(info.key)
            part = choose_part(request.headers, entity_tag(info.key), info.created_ms, size)
            if part.status in (304, 412):
                return Reply(part.status, headers[1:] if part.status == 304 else [])
            if part.status == 416:
                return Reply(416, [(b"content-range", b"bytes */%d" % size)])
            if part.status == 206:
                span = b"bytes %d-%d/%d" % (part.start, part.stop - 1, size)
                headers.append((b"content-range", span))
            length = part.stop - part.start
            if request.method == "HEAD":
                return Reply(part.status, headers, length=length)
            chunks = await self._objects.read(info.key, part.start, part.stop)
        except BlobMissingError as error:
            # As the original: a 404 would tell the Gadgetron that there never was one.
            raise MissingBytesError(str(error), info.key.id, headers) from error
        self._metrics.bytes.labels("out").inc(length)
        return Reply(part.status, headers, chunks, length)
