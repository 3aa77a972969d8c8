from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.storage.problems import RequestError
from elastron.storage.query import parse_query
from elastron.storage.search import (
    Position,
    decode_position,
    encode_position,
    next_link,
    parse_criteria,
)


def criteria(query: str):
    return parse_criteria(parse_query(query.encode()))


def code(query: str) -> str:
    with pytest.raises(RequestError) as error:
        criteria(query)
    assert error.value.status == 400
    return error.value.code


def test_columns_and_custom_tags() -> None:
    found = criteria("Subject=s&device=d&name=n&session=x&Tag=1&tag=2&tag=1&_ttl=5s&data=y")
    assert found.columns == (("subject", "s"), ("device", "d"), ("name", "n"), ("session", "x"))
    assert found.custom == (("tag", "1"), ("tag", "2"), ("_ttl", "5s"), ("data", "y"))


def test_repeated_columns_must_all_hold() -> None:
    assert criteria("subject=a&subject=b").columns == (("subject", "a"), ("subject", "b"))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1", 1),
        ("100", 100),
        ("+7", 7),
        *((bad, 100) for bad in ("0", "-1", "101", "x", "", "1.5", "٣", "²", "9" * 5000)),
    ],
)
def test_a_bad_limit_is_no_error(text: str, limit: int) -> None:
    assert parse_criteria([("subject", "s"), ("_limit", text), ("_limit", "3")]).limit == limit


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "InvalidQuery"),
        ("name=x", "InvalidQuery"),
        ("_all=1", "InvalidQuery"),
        ("_all=true&_all=true", "InvalidQuery"),
        ("subject=s&" + "&".join(f"a{n}=b" for n in range(65)), "InvalidQuery"),
        ("subject=s&_at=", "InvalidParameter"),
        ("subject=s&_at=2021", "InvalidParameter"),
        ("subject=s&_at=2021-10-18T16:56:15+02:00", "InvalidParameter"),
        ("subject=s&_at=2021-10-18T16:56:15Z&_AT=2021-10-18T16:56:15Z", "InvalidParameter"),
        ("subject=s&_ct=", "InvalidContinuationToken"),
        ("subject=s&_ct=3", "InvalidContinuationToken"),
        ("subject=s&_ct=e30%3D", "InvalidContinuationToken"),
        ("subject=s&_ct=e30&_ct=e30", "InvalidContinuationToken"),
    ],
)
def test_refusals(query: str, expected: str) -> None:
    assert code(query) == expected


def test_an_offset_is_read_when_its_plus_is_encoded() -> None:
    assert criteria("subject=s&_at=1970-01-01T01:00:01%2B01:00").at_ms == 1000


def test_everything_is_only_asked_for_on_purpose() -> None:
    assert criteria("_all=true").everything
    assert not criteria("subject=s").everything


def test_what_no_blob_can_have_is_no_error() -> None:
    for query in ("subject=s%00", "subject=s&a%00=b", "subject=s&a=%00"):
        assert criteria(query).impossible
    assert not criteria("subject=s&a=b").impossible


def test_token_format() -> None:
    uuid = "0c7e0d02-325a-405c-8d92-0a7a3336c91f"
    assert (
        encode_position(Position(5)) == base64.urlsafe_b64encode(b'{"ts":5}').rstrip(b"=").decode()
    )
    token = base64.urlsafe_b64encode(b'{"ts":5,"id":"%s"}' % uuid.encode()).rstrip(b"=").decode()
    assert encode_position(Position(5, uuid)) == token


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.none() | st.uuids().map(str))
def test_tokens_come_back(created_ms: int, blob_id: str | None) -> None:
    position = Position(created_ms, blob_id)
    assert decode_position(encode_position(position)) == position


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"3",
        b'{"ts":"5"}',
        b'{"ts":1.5}',
        b'{"ts":true}',
        b'{"ts":9223372036854775808}',
        b'{"ts":5,"id":"x"}',
        b'{"ts":5,"id":7}',
        b'{"ts":5,"id":"' + b"-" * 36 + b'"}',
        b'{"ts":' + b"1" * 300 + b"}",
        b"[" * 300,
        b"\xff",
    ],
)
def test_foreign_tokens_are_refused(content: bytes) -> None:
    token = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    assert code(f"subject=s&_ct={token}") == "InvalidContinuationToken"


@given(st.text(max_size=600))
def test_any_token_is_read_or_refused(token: str) -> None:
    with contextlib.suppress(ValueError):
        decode_position(token)


def test_the_next_link_keeps_the_parameters() -> None:
    pairs = [("Subject", "a b"), ("_ct", "old"), ("B", "ü"), ("A", "2"), ("A", "1")]
    link = next_link("http://h", "/v1/blobs", pairs, Position(5))
    token = encode_position(Position(5))
    assert link == f"http://h/v1/blobs?A=2&A=1&B=%C3%BC&Subject=a+b&_ct={token}"
