"""Instants: integers of milliseconds since 1970 (UTC) inside, text at the border."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can write
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,18}))?(?:Z|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def now_ms() -> int:
    """The wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _datetime(instant_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=min(instant_ms, _LAST_MS))


def rfc3339(instant_ms: int) -> str:
    """`2022-03-18T15:43:04.15Z`: UTC, at most milliseconds, trailing zeros trimmed."""
    moment = _datetime(instant_ms)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    fraction = f"{moment.microsecond // 1000:03d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def parse_rfc3339(text: str) -> int:
    """Read RFC 3339 with optional fraction and mandatory zone; floor to milliseconds.

    Raises:
        ValueError: anything else.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time with zone, such as 2024-05-01T12:00:00Z")
    moment = datetime(*(int(field) for field in match.groups()[:6]), tzinfo=UTC)
    milliseconds = int((match[7] or "0").ljust(3, "0")[:3])
    offset_minutes = 0
    if match[8]:
        hours, minutes = int(match[9]), int(match[10])
        if hours > 23 or minutes > 59:
            raise ValueError("a zone offset beyond 23:59")
        offset_minutes = (hours * 60 + minutes) * (1 if match[8] == "+" else -1)
    seconds = round((moment - EPOCH).total_seconds()) - offset_minutes * 60
    return seconds * 1000 + milliseconds


def http_date(instant_ms: int) -> bytes:
    """`Fri, 18 Mar 2022 15:43:04 GMT` (RFC 9110, section 5.6.7): whole seconds, floored."""
    return format_datetime(_datetime(instant_ms).replace(microsecond=0), usegmt=True).encode()


def parse_http_date(text: str) -> int | None:
    """Milliseconds of an HTTP date, or None where it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round((moment - EPOCH).total_seconds()) * 1000
