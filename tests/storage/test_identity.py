from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.storage.identity import BlobId, parse_segment

UUID = "0c7e0d02-325a-405c-8d92-0a7a3336c91f"
subjects = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@given(subjects)
def test_a_link_leads_back(subject: str) -> None:
    key = BlobId.new(subject)
    parts = urlsplit(key.link("http://host:1"))
    assert parts.path.count("/") == 3, "the subject is one segment"
    assert not parts.query
    assert not parts.fragment
    assert parse_segment(parts.path.split("/")[3].encode()) == key
    # A client may encode more, or (UTF-8 aside) less.
    assert parse_segment(quote(f"{key.id}-{subject}", safe="").encode()) == key


@given(subjects)
def test_no_subject_leaves_the_store(subject: str) -> None:
    key = BlobId.new(subject)
    assert re.fullmatch(r"[A-Za-z0-9_-]+/[0-9a-f-]{36}", key.path)


@pytest.mark.parametrize(
    ("subject", "ending"),
    [
        ("$null", "-$null"),
        ("a b", "-a%20b"),
        ("50%", "-50%25"),
        ("why?", "-why%3F"),
        ("a/b", "-a%2Fb"),
        ("../../etc", "-..%2F..%2Fetc"),
        ("ü", "-%C3%BC"),
        ("a#b;c", "-a%23b;c"),
    ],
)
def test_links_are_percent_encoded(subject: str, ending: str) -> None:
    key = BlobId(subject, UUID)
    assert key.link("https://h") == f"https://h/v1/blobs/{UUID}{ending}"


def test_an_encoded_dollar_is_a_dollar() -> None:
    assert parse_segment(f"{UUID}-%24null".encode()) == BlobId("$null", UUID)


def test_character_36_is_not_looked_at_and_the_subject_may_be_empty() -> None:
    assert parse_segment(f"{UUID}xabc".encode()) == BlobId("abc", UUID)
    assert parse_segment(f"{UUID}-".encode()) == BlobId("", UUID)


def test_upper_case_ids_are_the_same() -> None:
    assert parse_segment(f"{UUID.upper()}-s".encode()) == BlobId("s", UUID)


@pytest.mark.parametrize(
    "segment",
    [b"", b"abc", UUID.encode(), b"x" * 37, f"{UUID}-%ff".encode(), f"{UUID}-a%00".encode()],
)
def test_what_is_no_id(segment: bytes) -> None:
    assert parse_segment(segment) is None


@given(st.binary(max_size=80))
def test_any_segment_is_read_or_not(segment: bytes) -> None:
    parse_segment(segment)
