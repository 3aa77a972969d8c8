"""The API as an OpenAPI document, and that document as a page."""

from __future__ import annotations

import functools
import html
import json
from importlib.metadata import version
from typing import Any

from elastron.storage.messages import Reply, Request
from elastron.storage.search import PAGE_MAX
from elastron.storage.tags import VALUE_BYTES_MAX

_TEXTS = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_ITEM = {
    "type": "object",
    "description": "A blob's metadata; custom tags stand beside the fields named here.",
    "required": ["subject", "lastModified", "location", "data"],
    "properties": {
        "subject": {"type": "string"},
        "device": {"type": "string"},
        "name": {"type": "string"},
        "session": {"type": "string"},
        "contentType": {"type": "string"},
        "lastModified": {"type": "string", "format": "date-time"},
        "expires": {"type": "string", "format": "date-time"},
        "location": {"type": "string", "description": "URL of this metadata."},
        "data": {"type": "string", "description": "URL of the bytes."},
    },
    "additionalProperties": _TEXTS,
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        }
    },
}
_PAGE = {
    "type": "object",
    "required": ["items"],
    "properties": {
        "items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
        "nextLink": {
            "type": "string",
            "description": "URL of the next page, absent on the last; follow it as it is.",
        },
    },
}
_HEALTH = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def _query(name: str, description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _refused(description: str) -> dict[str, Any]:
    return {"description": description, "content": _json("Error")}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _empty(description: str) -> dict[str, Any]:
    return {"description": description}


_ALWAYS = {
    "400": _refused("The request cannot be understood."),
    "401": _refused("The bearer token is missing or wrong."),
    "503": _refused("Database or blob store do not answer; try again."),
}
_SUBJECT = "Patient ID, or `$null` for what belongs to a scanner."
_EXACT = [_query(name, "Equal to this.") for name in ("device", "name", "session")]
# Any name may be a custom tag, which OpenAPI cannot say; the Gadgetron's own stands for all.
_OTHER_NAMES = "A custom tag, as any other name is."
_SEARCH = [
    _query("subject", _SUBJECT, required=True),
    *_EXACT,
    _query("_at", "Created at this instant (RFC 3339) or before.", format="date-time"),
    _query("measurement", f"{_OTHER_NAMES} All that are given must match."),
]
_VALUE: dict[str, Any] = {
    "maxLength": VALUE_BYTES_MAX,  # of ASCII; JSON Schema cannot count bytes
    "pattern": r"^[^\u0000-\u0008\u000a-\u001f\u007f]*$",
}
_CREATE = [
    _query(
        "subject",
        f"{_SUBJECT} At most {VALUE_BYTES_MAX} bytes, as every tag's value.",
        required=True,
        minLength=1,
        **_VALUE,
    ),
    *[_query(name, f"The blob's {name}.", **_VALUE) for name in ("device", "name", "session")],
    _query(
        "_ttl",
        "Time to live, such as 90s, 1h30m, 48h; absent: kept for ever.",
        pattern=r"^(0|([0-9]{1,5}(\.[0-9]{1,3})?(ns|us|ms|s|m|h)){1,3})$",
    ),
    _query("measurement", f"{_OTHER_NAMES} Repeat it for several values.", **_VALUE),
]
_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "`<uuid>-<subject>`, percent-encoded; take it from `location`.",
    "schema": {"type": "string"},
}
_RANGE = [
    {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
    for name, description in (
        ("Range", "One range of bytes, `bytes=0-99`."),
        ("If-None-Match", "An `ETag`: 304 where the bytes are the same."),
    )
]
_BYTES = {
    "description": "The bytes; tags in `Mrd-Tag-*` headers, one line for each value.",
    "headers": {
        "ETag": {"schema": {"type": "string"}},
        "Last-Modified": {"schema": {"type": "string"}},
        "Expires": {"schema": {"type": "string"}},
        "Mrd-Tag-Subject": {"schema": {"type": "string"}},
    },
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}
_READ_BYTES = {
    "200": _BYTES,
    "206": {**_BYTES, "description": "The range asked for."},
    "304": _empty("Not modified."),
    "412": _empty("If-Match names other bytes."),
    "416": _empty("The range lies behind the end."),
    "500": _empty("The bytes of this blob are lost."),
    **_ALWAYS,
}


def _operation(summary: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"summary": summary, "operationId": name, **fields}


_METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")


def _health(method: str) -> dict[str, Any]:
    return _operation(
        "Can it serve?",
        f"health_{method}",
        security=[],
        responses={
            "200": {"description": "Yes.", "content": _json("Health")},
            "400": _ALWAYS["400"],
            "503": {"description": "No; what fails.", "content": _json("Health")},
        },
    )


def _document() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MRD storage server",
            "version": version("elastron"),
            "description": "Blobs filed under subject, device, session, name and custom tags. "
            "Parameter names are case-insensitive, values are not.",
        },
        "components": {
            "schemas": {"Item": _ITEM, "Error": _ERROR, "Page": _PAGE, "Health": _HEALTH},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
        "paths": {
            "/v1/blobs/data": {
                "post": _operation(
                    "Store a blob",
                    "create",
                    parameters=_CREATE,
                    requestBody={
                        "description": "The bytes; Content-Type is kept as it is given.",
                        "content": {
                            "application/octet-stream": {
                                "schema": {"type": "string", "format": "binary"}
                            }
                        },
                    },
                    responses={
                        "201": {"description": "Stored, durably.", "content": _json("Item")},
                        "408": _refused("The upload was too slow."),
                        "413": _refused("The blob is larger than the limit."),
                        "507": _refused("Disk full, or the subject's quota is used up."),
                        **_ALWAYS,
                    },
                )
            },
            "/v1/blobs": {
                "get": _operation(
                    "Search, newest first",
                    "search",
                    parameters=[
                        *_SEARCH,
                        _query("_limit", f"Items a page; anything but 1…{PAGE_MAX} means that."),
                    ],
                    responses={
                        "200": {"description": "A page of matches.", "content": _json("Page")},
                        "403": _refused("Listing all subjects is not allowed from here."),
                        **_ALWAYS,
                    },
                )
            },
            "/v1/blobs/data/latest": {
                "get": _operation(
                    "Read the newest match",
                    "latest",
                    parameters=[*_SEARCH, *_RANGE],
                    responses={**_READ_BYTES, "404": _refused("Nothing matches.")},
                )
            },
            "/v1/blobs/{id}": {
                "parameters": [_ID],
                "get": _operation(
                    "Read a blob's metadata",
                    "describe",
                    responses={
                        "200": {"description": "The metadata.", "content": _json("Item")},
                        "404": _empty("Unknown or expired."),
                        **_ALWAYS,
                    },
                ),
                "delete": _operation(
                    "Delete a blob",
                    "delete",
                    responses={
                        "204": _empty("Gone."),
                        "404": _empty("Unknown or expired."),
                        **_ALWAYS,
                    },
                ),
            },
            "/v1/blobs/{id}/data": {
                "parameters": [_ID],
                "get": _operation(
                    "Read a blob's bytes",
                    "data",
                    parameters=_RANGE,
                    responses={**_READ_BYTES, "404": _empty("Unknown or expired.")},
                ),
            },
            "/healthcheck": {method: _health(method) for method in _METHODS},
        },
    }


@functools.cache
def document_bytes() -> bytes:
    """The document as JSON."""
    return json.dumps(_document(), indent=1).encode()


async def document(request: Request) -> Reply:
    """GET /openapi.json."""
    return Reply(200, [(b"content-type", b"application/json")], document_bytes())


async def page(request: Request) -> Reply:
    """GET /docs: the document for people; plain HTML, nothing is loaded from elsewhere."""
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    ]
    return Reply(200, headers, _page())


@functools.cache
def _page() -> bytes:
    described = _document()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>MRD storage server</title>",
        "<style>body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "code{background:#8882;padding:.1em .3em}td{padding:.1rem 1rem .1rem 0;vertical-align:top}"
        "</style>",
        f"<h1>{described['info']['title']}</h1><p>{described['info']['description']}",
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.',
    ]
    for path, operations in described["paths"].items():
        shared = operations.get("parameters", [])
        for method, operation in operations.items():
            if method == "parameters":
                continue
            parts.append(f"<h2>{operation['summary']}</h2>")
            parts.append(f"<p><code>{method.upper()} {html.escape(path)}</code><table>")
            parameters = [*shared, *operation.get("parameters", [])]
            parts += [_row(one["name"], one["description"]) for one in parameters]
            parts += [
                _row(code, one["description"]) for code, one in operation["responses"].items()
            ]
            parts.append("</table>")
    return "".join(parts).encode()


def _row(name: str, description: str) -> str:
    return f"<tr><td><code>{html.escape(name)}</code><td>{html.escape(description)}"
