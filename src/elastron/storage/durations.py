"""Time to live as Go's `time.ParseDuration` reads it (storage API, section 4).

Grammar: `[+-]? ( decimal unit )+`, or a bare `0`. Units: ns, us, µs, ms, s, m, h.
"""

from __future__ import annotations

import re

NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, micro sign
    "μs": 1_000,  # U+03BC, Greek mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
NANOSECONDS_MAX = 2**63 - 1
LENGTH_MAX = 128
"""Longest text looked at; a tag value has the same limit."""

_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> int:
    """Read a Go duration.

    Returns:
        Nanoseconds; negative if the text says so.

    Raises:
        ValueError: not a Go duration, or beyond about 292 years.
    """
    if len(text) > LENGTH_MAX:
        raise ValueError("a duration of more than 128 characters")
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError("an empty duration")
    total, position = 0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None or not (part[1] or part[2]):
            raise ValueError("not a duration such as 90s or 48h")
        whole, fraction, unit = part[1] or "0", part[2] or "", NANOSECONDS[part[3]]
        total += int(whole) * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        position = part.end()
    # Go keeps the sign apart, so that the most negative int64 is legal too.
    if total > NANOSECONDS_MAX + negative:
        raise ValueError("a duration of more than 292 years")
    return -total if negative else total
