from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.storage.instants import http_date
from elastron.storage.ranges import Part, choose_part

ETAG = b'"e"'
CREATED_MS = 1_647_618_184_150
WHOLE = Part(200, 0, 10)


def part(size: int = 10, **headers: bytes) -> Part:
    lines = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return choose_part(lines, ETAG, CREATED_MS, size)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"bytes=0-0", Part(206, 0, 1)),
        (b"bytes=2-5", Part(206, 2, 6)),
        (b"bytes=2-", Part(206, 2, 10)),
        (b"bytes=2-99", Part(206, 2, 10)),
        (b"bytes=-3", Part(206, 7, 10)),
        (b"bytes=-99", Part(206, 0, 10)),
        (b"Bytes = 1 - 2", Part(206, 1, 3)),
        (b"bytes=10-", Part(416, 0, 0)),
        (b"bytes=10-12", Part(416, 0, 0)),
        (b"bytes=-0", Part(416, 0, 0)),
        # Not valid, or several: ignored.
        (b"bytes=5-2", WHOLE),
        (b"bytes=-", WHOLE),
        (b"bytes=0-1,3-4", WHOLE),
        (b"lines=1-2", WHOLE),
        (b"bytes=a-b", WHOLE),
        (b"", WHOLE),
    ],
)
def test_ranges(header: bytes, expected: Part) -> None:
    assert part(range=header) == expected


def test_an_empty_blob_has_no_range() -> None:
    assert part(0, range=b"bytes=0-") == Part(416, 0, 0)
    assert part(0, range=b"bytes=-5") == Part(416, 0, 0)
    assert part(0) == Part(200, 0, 0)


@given(st.binary(max_size=30), st.integers(0, 50))
def test_any_range_stays_inside(header: bytes, size: int) -> None:
    chosen = part(size, range=b"bytes=" + header)
    assert chosen.status in (200, 206, 416)
    assert 0 <= chosen.start <= chosen.stop <= size
    assert chosen.status != 206 or chosen.start < chosen.stop


def test_conditions() -> None:
    same, before, after = (http_date(CREATED_MS + d) for d in (0, -5000, 5000))
    assert part(if_none_match=ETAG).status == 304
    assert part(if_none_match=b'"x", W/"e"').status == 304
    assert part(if_none_match=b"*").status == 304
    assert part(if_none_match=b'"x"') == WHOLE
    assert part(if_match=ETAG) == WHOLE
    assert part(if_match=b"*") == WHOLE
    assert part(if_match=b'W/"e"').status == 412
    assert part(if_match=b'"x"').status == 412
    assert part(if_modified_since=same).status == 304
    assert part(if_modified_since=after).status == 304
    assert part(if_modified_since=before) == WHOLE
    assert part(if_modified_since=b"yesterday") == WHOLE
    assert part(if_unmodified_since=before).status == 412
    assert part(if_unmodified_since=same) == WHOLE
    # An entity tag counts more than a date.
    assert part(if_none_match=b'"x"', if_modified_since=after) == WHOLE
    assert part(if_match=ETAG, if_unmodified_since=before) == WHOLE


def test_a_range_of_other_bytes_is_the_whole() -> None:
    asked = {"range": b"bytes=1-2"}
    assert part(**asked, if_range=ETAG) == Part(206, 1, 3)
    assert part(**asked, if_range=http_date(CREATED_MS)) == Part(206, 1, 3)
    assert part(**asked, if_range=b'"x"') == WHOLE
    assert part(**asked, if_range=http_date(CREATED_MS - 5000)) == WHOLE
