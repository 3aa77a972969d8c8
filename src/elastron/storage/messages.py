"""Requests and replies as plain values; `app` carries them over ASGI."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from elastron.storage.identity import BlobId
from elastron.storage.instants import http_date, rfc3339
from elastron.storage.query import parse_query
from elastron.storage.tags import BlobInfo

JSON = b"application/json; charset=utf-8"
BYTES = b"application/octet-stream"

_TO_SPACE = dict.fromkeys((*range(32), 127), " ")

Headers = list[tuple[bytes, bytes]]


@dataclass
class Request:
    """One request.

    Attributes:
        method: HTTP method.
        path: raw, percent-encoded path.
        query: raw query string.
        headers: lower-case name -> value; the last of several.
        origin: scheme and host under which the client knows us.
        may_list: the client may see all subjects.
        body: opens the body, in chunks.
    """

    method: str
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]
    origin: str
    may_list: bool
    body: Callable[[], AsyncIterator[bytes]]

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """The query string's parameters.

        Raises:
            RequestError: 400 where it cannot be read.
        """
        return parse_query(self.query)

    @property
    def content_length(self) -> int | None:
        """Bytes of the body where the client said it."""
        text = self.headers.get(b"content-length", b"")
        return int(text) if text.isdigit() else None


@dataclass
class Reply:
    """One answer.

    Attributes:
        status: HTTP status.
        headers: lines, in order.
        body: bytes, or chunks of them.
        length: Content-Length; None: the length of `body`.
    """

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | AsyncGenerator[bytes, None] = b""
    length: int | None = None


def json_reply(status: int, value: Any, headers: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    """A JSON document; text stays as it is, nothing is escaped that need not be."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, [(b"content-type", JSON), *headers], body)


def error_reply(
    status: int, code: str, message: str, headers: Sequence[tuple[bytes, bytes]] = ()
) -> Reply:
    """`{"error": {"code": …, "message": …}}`."""
    return json_reply(status, {"error": {"code": code, "message": message}}, headers)


def item(info: BlobInfo, origin: str) -> dict[str, str | list[str]]:
    """A blob's metadata as the API writes it.

    Every value is text or a list of texts: the Gadgetron takes any other key for a custom tag
    and fails on a number.
    """
    location = info.key.link(origin)
    fields: dict[str, str | list[str]] = {
        "subject": info.key.subject,
        "lastModified": rfc3339(info.created_ms),
        "location": location,
        "data": f"{location}/data",
    }
    if info.tags.content_type is not None:
        fields["contentType"] = content_type_bytes(info.tags.content_type).decode(errors="replace")
    for name in ("device", "name", "session"):
        value = getattr(info.tags, name)
        if value is not None:
            fields[name] = value
    if info.expires_ms is not None:
        fields["expires"] = rfc3339(info.expires_ms)
    for name, values in info.tags.custom.items():
        fields[name] = values[0] if len(values) == 1 else list(values)
    return fields


def data_headers(info: BlobInfo) -> Headers:
    """The headers that go with a blob's bytes, tags among them."""
    tags = info.tags
    content_type = content_type_bytes(tags.content_type) if tags.content_type else BYTES
    headers: Headers = [
        (b"content-type", content_type),
        (b"last-modified", http_date(info.created_ms)),
        (b"etag", entity_tag(info.key)),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, no-cache"),
        # The bytes and their type are the client's: a browser must not run them as a page.
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"sandbox"),
    ]
    if info.expires_ms is not None:
        headers.append((b"expires", http_date(info.expires_ms)))
    lines = [("subject", info.key.subject)]
    lines += [(n, v) for n in ("device", "name", "session") if (v := getattr(tags, n)) is not None]
    lines += [(name, value) for name, values in tags.custom.items() for value in values]
    # Raw UTF-8, one line for each value.
    headers += [(b"mrd-tag-" + name.encode(), _line(value)) for name, value in lines]
    return headers


def _line(value: str) -> bytes:
    # Older servers let line breaks into tags; such a value must not become two headers.
    return b"".join(
        b" " if byte < 0x20 or byte == 0x7F else bytes((byte,)) for byte in value.encode()
    )


def entity_tag(key: BlobId) -> bytes:
    """A blob never changes, so that its id names its bytes."""
    return f'"{key.id}"'.encode()


def content_type_bytes(text: str) -> bytes:
    """The header as it came: it is kept as latin-1 text, which every byte string is."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # a record of the original server, which keeps UTF-8
        return text.encode()
