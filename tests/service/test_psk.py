from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ConfigError
from elastron.service.psk import (
    PreSharedKey,
    identity_problem,
    parse_keys,
    parse_retiring,
    render_keys,
    render_retiring,
    retiring_file,
    tenant_name,
)

SECRET = "4ZYJY+HoIX1xxZM563VpppejPJNQ4S4Z"  # noqa: S105 - the one in the original's README

_identities = st.text(min_size=1, max_size=30).filter(lambda text: identity_problem(text) is None)
_secrets = st.text(
    st.characters(min_codepoint=33, max_codepoint=126), min_size=32, max_size=100
).filter(lambda text: len(PreSharedKey("a", text).key) >= 16)


def test_a_base64_key_is_its_own_characters() -> None:
    assert parse_keys(f"client1:{SECRET}\n")["client1"].key == SECRET.encode()


def test_a_hexadecimal_key_is_bytes() -> None:
    assert parse_keys("a:" + "0f" * 16)["a"].key == b"\x0f" * 16
    assert parse_keys("a:" + "0F:" * 15 + "0F")["a"].key == b"\x0f" * 16  # as OpenSSL reads it


def test_a_key_may_hold_colons() -> None:
    assert parse_keys("a:0123456789:0123456789x")["a"].key == b"0123456789:0123456789x"


def test_empty_lines_and_line_ends_of_windows() -> None:
    keys = parse_keys(f"\r\na:{SECRET}\r\n\r\nb:{SECRET}")
    assert list(keys) == ["a", "b"]
    assert keys["a"].secret == SECRET


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no colon here", "line 1 is not identity:key"),
        (f"a:{SECRET}\na:{SECRET}", "line 2 has the identity of an earlier line"),
        (f":{SECRET}", "line 1: an identity is printable"),
        (f"a\x00b:{SECRET}", "line 1: an identity is printable"),
        (f"{'a' * 128}:{SECRET}", "line 1: an identity has at most 127 bytes"),
        ("a:fifteen-letters", "line 1: a key has 16 to 256 bytes, this one 15"),
        ("a:" + "0f" * 15, "line 1: a key has 16 to 256 bytes, this one 15"),
        ("a:" + "x" * 257, "line 1: a key has 16 to 256 bytes, this one 257"),
        ("x" * (1 << 21), "more than"),
    ],
)
def test_bad_lines_are_named_but_not_shown(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        parse_keys(text)
    assert SECRET not in str(caught.value)


def test_a_key_does_not_show_itself() -> None:
    assert SECRET not in repr(PreSharedKey("a", SECRET))


@given(st.dictionaries(_identities, _secrets, max_size=5))
def test_what_is_written_is_read(secrets: dict[str, str]) -> None:
    keys = {name: PreSharedKey(name, secret) for name, secret in secrets.items()}
    assert parse_keys(render_keys(keys.values())) == keys


@pytest.mark.parametrize(
    ("identity", "tenant"),
    [
        ("client1", "client1"),
        ("client1@2", "client1"),
        ("a@b@31", "a@b"),
        ("user@host", "user@host"),
        ("@2", "@2"),
        ("a@02", "a@02"),
    ],
)
def test_the_tenant_of_an_identity(identity: str, tenant: str) -> None:
    assert tenant_name(identity) == tenant


def test_ends_of_retiring_keys() -> None:
    ends = {"a": datetime(2026, 11, 22, 12, tzinfo=UTC), "b@2": datetime(2027, 1, 1, tzinfo=UTC)}
    text = render_retiring(ends)
    assert text == "a:2026-11-22T12:00:00Z\nb@2:2027-01-01T00:00:00Z\n"
    assert parse_retiring(text) == ends


@pytest.mark.parametrize("text", ["a", "a:tomorrow", "a:2026-11-22T12:00:00", ":2026-11-22"])
def test_a_wrong_end_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="line 1 is not identity:time"):
        parse_retiring(text)


def test_the_file_beside() -> None:
    assert retiring_file(Path("/a/stunnel.secrets")) == Path("/a/stunnel.secrets.retiring")
