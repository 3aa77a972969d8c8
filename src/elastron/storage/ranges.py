"""Conditional and range requests (RFC 9110, sections 13 and 14) for bytes that never change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from elastron.storage.instants import parse_http_date

_RANGE = re.compile(rb"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """What to send.

    Attributes:
        status: 200, 206, 304, 412 or 416.
        start: first byte.
        stop: behind the last byte.
    """

    status: int
    start: int
    stop: int


def choose_part(headers: Mapping[bytes, bytes], etag: bytes, created_ms: int, size: int) -> Part:
    """Answer the request's conditions in the order of RFC 9110, section 13.2.2."""
    modified_s = created_ms // 1000
    if (wanted := headers.get(b"if-match")) is not None:
        if not _matches(wanted, etag, weak=False):
            return Part(412, 0, 0)
    elif modified_s > _seconds(headers.get(b"if-unmodified-since"), modified_s):
        return Part(412, 0, 0)
    if (known := headers.get(b"if-none-match")) is not None:
        if _matches(known, etag, weak=True):
            return Part(304, 0, 0)
    elif modified_s <= _seconds(headers.get(b"if-modified-since"), -1):
        return Part(304, 0, 0)
    condition = headers.get(b"if-range")
    if condition is None or condition.strip() == etag or _seconds(condition, -1) == modified_s:
        return _range(headers.get(b"range"), size)
    return Part(200, 0, size)


def _matches(wanted: bytes, etag: bytes, *, weak: bool) -> bool:
    for candidate in wanted.split(b","):
        tag = candidate.strip()
        if tag in (b"*", etag) or (weak and tag == b"W/" + etag):
            return True
    return False


def _seconds(header: bytes | None, default: int) -> int:
    instant_ms = parse_http_date(header.decode("latin-1")) if header else None
    return default if instant_ms is None else instant_ms // 1000


def _range(header: bytes | None, size: int) -> Part:
    # "A server MAY ignore the Range header field": several ranges at once are.
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not (match[1] or match[2]):
        return Part(200, 0, size)
    if not match[1]:  # the last n bytes
        length = int(match[2])
        return Part(206, max(0, size - length), size) if length and size else Part(416, 0, 0)
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return Part(200, 0, size)  # not a valid range: ignored
    if start >= size:
        return Part(416, 0, 0)
    return Part(206, start, min(int(match[2]) + 1, size) if match[2] else size)
