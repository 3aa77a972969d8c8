from __future__ import annotations

import pytest

from elastron.service.address import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9002", Address("127.0.0.1", 9002)),
        ("[::1]:0", Address("::1", 0)),
        (":9002", Address("", 9002)),
        ("node-1.example:65535", Address("node-1.example", 65535)),
    ],
)
def test_address(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["9002", "host", "host:", "host:x", "host:-1", "host:65536"])
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("", False),
        ("::", False),
        ("10.0.0.1", False),
        ("node.example", False),
    ],
)
def test_loopback(host: str, *, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback
