from __future__ import annotations

import contextlib
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.storage.problems import RequestError
from elastron.storage.query import PAIRS_MAX, encode_query, group, parse_query

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(texts, texts), max_size=8))
def test_encoded_pairs_come_back(pairs: list[tuple[str, str]]) -> None:
    assert parse_query(urlencode(pairs).encode()) == pairs
    assert sorted(parse_query(encode_query(pairs).encode())) == sorted(pairs)


def test_raw_utf8_is_as_good_as_encoded() -> None:
    raw = "name=😁&mytag=é b".replace(" ", "+").encode()
    assert parse_query(raw) == [("name", "😁"), ("mytag", "é b")]
    assert parse_query(f"name={quote('😁')}&mytag={quote('é b')}".encode()) == parse_query(raw)


def test_what_go_cannot_parse_is_dropped() -> None:
    assert parse_query(b"a=1;b=2&c=%zz&d=%4&&e&=f&g==") == [("e", ""), ("", "f"), ("g", "=")]


def test_text_that_is_not_utf8_is_refused() -> None:
    for raw in (b"a=%ff", b"a=\xff", b"%c3=a", b"a=%ed%a0%80"):
        with pytest.raises(RequestError) as refusal:
            parse_query(raw)
        assert refusal.value.status == 400


def test_too_many_pairs_are_refused() -> None:
    parse_query(b"&".join([b"a=b"] * PAIRS_MAX))
    with pytest.raises(RequestError):
        parse_query(b"&".join([b"a=b"] * (PAIRS_MAX + 1)))


def test_names_are_merged_without_regard_to_case() -> None:
    merged = group([("Tag", "A"), ("TAG", "b"), ("x", "1"), ("tag", "A")])
    assert merged == {"tag": ["A", "b", "A"], "x": ["1"]}
    assert group([("\N{KELVIN SIGN}ey", "v")]) == {"\N{KELVIN SIGN}ey": ["v"]}


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert len(parse_query(raw)) <= PAIRS_MAX
