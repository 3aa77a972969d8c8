"""Query strings as Go's `url.ParseQuery` reads them (storage API, section 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote_plus, unquote_to_bytes

from elastron.storage.problems import RequestError

PAIRS_MAX = 512
"""Most `name=value` pairs in one request; a blob has a handful of tags."""

_BAD_ESCAPE = re.compile(rb"%(?![0-9a-fA-F]{2})")


def parse_query(raw: bytes) -> list[tuple[str, str]]:
    """Split and decode a raw query string; raw UTF-8 is as good as percent-encoded.

    Pairs that Go cannot parse (a `;`, a broken escape) are dropped, as there.

    Returns:
        Pairs in order, with the client's spelling of the names.

    Raises:
        RequestError: 400 for text that is not UTF-8, or too many pairs.
    """
    pieces = raw.split(b"&") if raw else []
    if len(pieces) > PAIRS_MAX:
        raise RequestError(400, "InvalidQuery", f"More than {PAIRS_MAX} query parameters.")
    pairs: list[tuple[str, str]] = []
    for piece in pieces:
        if not piece or b";" in piece or _BAD_ESCAPE.search(piece):
            continue
        name, _, value = piece.partition(b"=")
        try:
            pairs.append((_decode(name), _decode(value)))
        except UnicodeDecodeError as error:
            raise RequestError(
                400, "InvalidQuery", "A query parameter is not UTF-8 text; encode it as UTF-8."
            ) from error
    return pairs


def _decode(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode()


def group(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Lower-case the names and merge those that then are the same.

    Only ASCII is lowered: the Kelvin sign's lower case is `k`, and must not pass for a tag name.
    """
    merged: dict[str, list[str]] = {}
    for name, value in pairs:
        merged.setdefault(name.lower() if name.isascii() else name, []).append(value)
    return merged


def encode_query(pairs: Sequence[tuple[str, str]]) -> str:
    """Percent-encode, sorted by name (values of one name keep their order), as Go's `Encode`."""
    ordered = sorted(pairs, key=lambda pair: pair[0])
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in ordered)
