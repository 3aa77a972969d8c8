from __future__ import annotations

import pytest
from pydantic import ValidationError

from elastron.gateway import GatewaySettings
from elastron.gateway.settings import JournalSettings


def test_every_setting_says_what_it_means() -> None:
    for model in (GatewaySettings, JournalSettings):
        for name, field in model.model_fields.items():
            assert field.description, name


def test_defaults_are_for_this_machine_alone() -> None:
    settings = GatewaySettings()
    assert settings.listen == "127.0.0.1:9002"
    assert settings.admin == "127.0.0.1:9080"
    assert settings.archive.keep == "off"
    assert settings.journal.folder is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"lisen": "127.0.0.1:1"},
        {"listen": "9002"},
        {"journal": {"memory_bytes_max": 1}},
        {"journal": {"when_full": "panic"}},
        {"registry": {"nodes": 5}},
        {"total_timeout_s": 0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings.model_validate(wrong)


def test_it_survives_json() -> None:
    settings = GatewaySettings.model_validate({"tls": [], "pools": [{"configs": ["a*"]}]})
    assert GatewaySettings.model_validate_json(settings.model_dump_json()) == settings
