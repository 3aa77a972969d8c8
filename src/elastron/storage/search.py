"""What a search asks for, and how it goes on to the next page (storage API, section 7)."""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from elastron.storage.instants import parse_rfc3339
from elastron.storage.problems import RequestError
from elastron.storage.query import encode_query, group
from elastron.storage.tags import SINGLE, BlobInfo

PAGE_MAX = 100
CUSTOM_MAX = 64
"""Most custom tags in one search; a blob has a handful."""

_INT64_MAX = 2**63 - 1
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_COLUMNS = ("subject", *SINGLE)


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page begins: before this instant, or at it with a smaller id.

    Attributes:
        created_ms: of the last item shown.
        id: the last item's id where the next item has the same instant; else None.
    """

    created_ms: int
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Criteria:
    """All must hold.

    Attributes:
        columns: (column, value): subject, device, name, session.
        custom: (tag name, value): the blob has this custom tag.
        at_ms: created at or before.
        position: continue behind it.
        limit: items a page.
        everything: no subject asked for, on purpose (the listing extension).
        impossible: nothing can match, and a database might not even take the question: no stored
            text holds a NUL.
    """

    columns: tuple[tuple[str, str], ...]
    custom: tuple[tuple[str, str], ...]
    at_ms: int | None
    position: Position | None
    limit: int
    everything: bool = False
    impossible: bool = False

    def newest(self) -> Criteria:
        """The same, for the first match only."""
        return replace(self, limit=1, position=None)


def parse_criteria(pairs: Sequence[tuple[str, str]]) -> Criteria:
    """Read the parameters of search and latest.

    Raises:
        RequestError: 400 InvalidQuery (no subject), InvalidParameter (`_at`) or
            InvalidContinuationToken (`_ct`).
    """
    tags = group(pairs)
    at_ms = _at(tags.pop("_at", None))
    position = _position(tags.pop("_ct", None))
    limit = _limit(tags.pop("_limit", None))
    everything = tags.pop("_all", None) == ["true"]
    if "subject" not in tags and not everything:
        raise RequestError(
            400, "InvalidQuery", "Parameter 'subject' is missing; use $null for scanner-wide blobs."
        )
    custom = tuple(
        (n, v) for n, values in tags.items() if n not in _COLUMNS for v in dict.fromkeys(values)
    )
    if len(custom) > CUSTOM_MAX:
        raise RequestError(400, "InvalidQuery", f"More than {CUSTOM_MAX} custom tags at once.")
    return Criteria(
        columns=tuple((n, v) for n in _COLUMNS for v in dict.fromkeys(tags.get(n, ()))),
        custom=custom,
        at_ms=at_ms,
        position=position,
        limit=limit,
        everything=everything,
        impossible=any("\x00" in text for n, values in tags.items() for text in (n, *values)),
    )


def _at(values: list[str] | None) -> int | None:
    if not values:
        return None
    if len(values) > 1:
        raise RequestError(400, "InvalidParameter", "Parameter '_at' may be given only once.")
    try:
        return parse_rfc3339(values[0])
    except ValueError as error:
        raise RequestError(
            400,
            "InvalidParameter",
            "Parameter '_at' is not an RFC 3339 time with zone, such as 2024-05-01T12:00:00Z "
            "(write a '+' as %2B).",
        ) from error


def _limit(values: list[str] | None) -> int:
    # A bad limit is never an error, and the first of several counts.
    text = values[0] if values else ""
    digits = text[1:] if text[:1] == "+" else text
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        return PAGE_MAX
    limit = int(digits)
    return limit if 0 < limit <= PAGE_MAX else PAGE_MAX


def _position(values: list[str] | None) -> Position | None:
    if not values:
        return None
    if len(values) > 1:
        raise _bad_token("Parameter '_ct' may be given only once.")
    try:
        return decode_position(values[0])
    except ValueError as error:
        raise _bad_token(
            "Parameter '_ct' is no continuation token; use a nextLink as it was given."
        ) from error


def encode_position(position: Position) -> str:
    """Base64url without padding of `{"ts":<ms>}` or `{"ts":<ms>,"id":"<uuid>"}`."""
    fields: dict[str, int | str] = {"ts": position.created_ms}
    if position.id is not None:
        fields["id"] = position.id
    token = json.dumps(fields, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def decode_position(token: str) -> Position:
    """The reverse of `encode_position`.

    Raises:
        ValueError: not such a token.
    """
    if not _BASE64URL.fullmatch(token) or len(token) > 512:
        raise ValueError("not base64url")
    try:
        fields = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError("not base64url of JSON") from error
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    created_ms, blob_id = fields.get("ts", 0), fields.get("id")
    if type(created_ms) is not int or abs(created_ms) > _INT64_MAX:
        raise ValueError("ts is no integer")
    if blob_id is not None:
        if not isinstance(blob_id, str) or not re.fullmatch(r"[0-9a-fA-F-]{36}", blob_id):
            raise ValueError("id is no UUID")
        # Both databases compare the text form; a UUID that is none is refused by PostgreSQL.
        blob_id = str(uuid.UUID(blob_id))
    return Position(created_ms, blob_id)


def next_position(page: Sequence[BlobInfo], following: BlobInfo) -> Position:
    """Behind `page`, whose successor is `following`."""
    last = page[-1]
    same = last.created_ms == following.created_ms
    return Position(last.created_ms, last.key.id if same else None)


def next_link(origin: str, path: str, pairs: Sequence[tuple[str, str]], position: Position) -> str:
    """The absolute URL of the next page: the original parameters plus `_ct`."""
    kept = [(name, value) for name, value in pairs if name.lower() != "_ct"]
    return f"{origin}{path}?{encode_query([*kept, ('_ct', encode_position(position))])}"


def _bad_token(message: str) -> RequestError:
    return RequestError(400, "InvalidContinuationToken", message)
