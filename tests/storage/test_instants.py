from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.storage.instants import http_date, parse_http_date, parse_rfc3339, rfc3339

LAST_MS = 253_402_300_799_999


@pytest.mark.parametrize(
    ("instant_ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_647_618_184_150, "2022-03-18T15:43:04.15Z"),
        (1_647_618_184_100, "2022-03-18T15:43:04.1Z"),
        (1_647_618_184_001, "2022-03-18T15:43:04.001Z"),
        (1_647_618_184_000, "2022-03-18T15:43:04Z"),
        (LAST_MS + 5, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_writes_utc_with_trimmed_milliseconds(instant_ms: int, text: str) -> None:
    assert rfc3339(instant_ms) == text


@given(st.integers(0, LAST_MS))
def test_round_trip(instant_ms: int) -> None:
    text = rfc3339(instant_ms)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,2}[1-9])?Z", text)
    assert parse_rfc3339(text) == instant_ms
    assert datetime.fromisoformat(text).timestamp() == pytest.approx(instant_ms / 1000)
    assert parse_http_date(http_date(instant_ms).decode()) == instant_ms // 1000 * 1000


@pytest.mark.parametrize(
    ("text", "instant_ms"),
    [
        ("2021-10-18T16:56:15.693Z", 1_634_576_175_693),
        ("2021-10-18T18:56:15.693+02:00", 1_634_576_175_693),
        ("2021-10-18T12:26:15.693-04:30", 1_634_576_175_693),
        ("2021-10-18T16:56:15.6939999Z", 1_634_576_175_693),  # floored
        ("2021-10-18T16:56:15Z", 1_634_576_175_000),
        ("1969-12-31T23:59:59.5Z", -500),
    ],
)
def test_reads_zones_and_fractions(text: str, instant_ms: int) -> None:
    assert parse_rfc3339(text) == instant_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2021",
        "foobar",
        "2021-10-18",
        "2021-10-18T16:56:15",
        "2021-10-18 16:56:15Z",
        "2021-13-18T16:56:15Z",
        "2021-02-30T16:56:15Z",
        "2021-10-18T24:00:00Z",
        "2021-10-18T16:56:60Z",
        "2021-10-18T16:56:15.Z",
        "2021-10-18T16:56:15 02:00",  # a '+' that was not written as %2B
        "2021-10-18T16:56:15+24:00",
        "0000-10-18T16:56:15Z",
        "٢٠٢١-10-18T16:56:15Z",
    ],
)
def test_refuses_other_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_rfc3339(text)


@given(st.text(max_size=40))
def test_an_http_date_is_read_or_not(text: str) -> None:
    parse_http_date(text)
