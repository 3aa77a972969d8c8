from __future__ import annotations

import pytest

from elastron.storage.problems import RequestError
from elastron.storage.query import parse_query
from elastron.storage.tags import parse_new_blob


def refusal(query: str) -> str:
    with pytest.raises(RequestError) as error:
        parse_new_blob(parse_query(query.encode()), None)
    assert error.value.status == 400
    return error.value.code


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "InvalidTag"),
        ("name=x", "InvalidTag"),
        ("subject=", "InvalidSubject"),
        ("subject=a&SUBJECT=b", "InvalidSubject"),
        (f"subject={'a' * 129}", "InvalidSubject"),
        (f"subject={'é' * 65}", "InvalidSubject"),  # 130 bytes
        ("subject=a%0Ab", "InvalidSubject"),
        ("subject=s&location=l", "InvalidTag"),
        ("subject=s&Last-Modified=l", "InvalidTag"),
        ("subject=s&lastmodified=l", "InvalidTag"),
        ("subject=s&Content-Type=l", "InvalidTag"),
        ("subject=s&contenttype=l", "InvalidTag"),
        ("subject=s&data=l", "InvalidTag"),
        ("subject=s&expires=l", "InvalidTag"),
        ("subject=s&_at=2021-10-18T16:56:15Z", "InvalidTag"),
        ("subject=s&_limit=1", "InvalidTag"),
        ("subject=s&_ct=x", "InvalidTag"),
        ("subject=s&1a=x", "InvalidTag"),
        ("subject=s&$null=x", "InvalidTag"),
        ("subject=s&=x", "InvalidTag"),
        ("subject=s&a%0A=x", "InvalidTag"),
        ("subject=s&a%0D%0Ab=x", "InvalidTag"),
        ("subject=s&%E2%84%AAey=x", "InvalidTag"),  # Kelvin sign
        (f"subject=s&{'a' * 65}=x", "InvalidTag"),
        ("subject=s&a=x%0D%0ASet-Cookie:%20b", "InvalidTag"),
        ("subject=s&a=x%00", "InvalidTag"),
        ("subject=s&a=x%7F", "InvalidTag"),
        (f"subject=s&device={'a' * 129}", "InvalidTag"),
        ("subject=s&_ttl=", "InvalidTag"),
        ("subject=s&_ttl=1d", "InvalidTag"),
        ("subject=s&_ttl=1h&_ttl=x", "InvalidTag"),
        ("subject=s&_ttl=1h&_TTL=-1s", "InvalidTag"),
    ],
)
def test_refusals(query: str, code: str) -> None:
    assert refusal(query) == code


def test_a_refusal_never_repeats_a_value() -> None:
    for query in ("subject=Miller&subject=Miller", f"subject={'Miller' * 30}", "subject=Miller%01"):
        with pytest.raises(RequestError) as error:
            parse_new_blob(parse_query(query.encode()), None)
        assert "Miller" not in str(error.value)


def test_everything_at_once() -> None:
    query = "Subject=$null&DEVICE=d&name=n&session=&B=2&b=1&b=2&c=&_ttl=1.5s&_ttl=9h"
    new = parse_new_blob(parse_query(query.encode()), "text/plain")
    assert new.subject == "$null"
    assert new.ttl_ms == 1500  # the first counts
    assert (new.tags.device, new.tags.name, new.tags.session) == ("d", "n", "")
    # The same value twice is one value.
    assert new.tags.custom == {"b": ("1", "2"), "c": ("",)}
    assert new.tags.content_type == "text/plain"


def test_limits_are_inclusive() -> None:
    name, value = "a" * 64, "é" * 64
    new = parse_new_blob([("subject", value), (name, value), ("tab", "a\tb")], None)
    assert new.tags.custom == {name: (value,), "tab": ("a\tb",)}
    assert new.ttl_ms is None
    assert parse_new_blob([("subject", "s"), ("_ttl", "0s")], None).ttl_ms == 0
