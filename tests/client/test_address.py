from __future__ import annotations

import pytest

from elastron.client import Address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost", "localhost", 9002),
        ("gateway:19002", "gateway", 19002),
        ("[::1]:80", "::1", 80),
        ("[fe80::1]", "fe80::1", 9002),
        ("::1", "::1", 9002),
    ],
)
def test_addresses(text, host, port):
    assert parse_address(text) == Address(host, port)


@pytest.mark.parametrize("text", ["", ":9002", "host:", "host:0", "host:65536", "host:x", "h:-1"])
def test_what_is_no_address(text):
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        parse_address(text)


def test_addresses_print_as_they_are_written():
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Address("host", 80)) == "host:80"
