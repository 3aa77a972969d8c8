from __future__ import annotations

import pytest
from pydantic import ValidationError

from elastron.node.settings import Address, NodeSettings, available_cores


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
    with pytest.raises(ValidationError, match="HOST:PORT"):
        NodeSettings(listen=text)


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


def test_a_node_is_private_by_default() -> None:
    settings = NodeSettings()
    assert Address.parse(settings.listen) == Address("127.0.0.1", 9002)
    assert settings.admin is not None
    assert Address.parse(settings.admin).loopback


def test_capacity_is_one_a_core() -> None:
    settings = NodeSettings()
    assert settings.capacity == available_cores() >= 1
    assert settings.warm == min(settings.capacity, 2)
    assert NodeSettings(warm_workers=7).warm == 7


def test_every_setting_says_what_it_is() -> None:
    for name, field in NodeSettings.model_fields.items():
        assert field.description, name


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="capazity"):
        NodeSettings.model_validate({"capazity": 3})


def test_settings_survive_the_way_to_the_zygote() -> None:
    settings = NodeSettings(capacity=3, config_folders=("/a", "/b"), parameters={"x": "y"})
    assert NodeSettings.model_validate(settings.model_dump(mode="json")) == settings
