from __future__ import annotations

import pytest
from pydantic import ValidationError

from elastron.node.settings import NodeSettings, available_cores
from elastron.service.address import Address


def test_no_address() -> None:
    with pytest.raises(ValidationError, match="HOST:PORT"):
        NodeSettings(listen="9002")


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
