"""Who is logged in, and which subscription is meant."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport

from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.session import default_credential, log_in
from elastron.errors import LoginError
from tests.cloud.azure.arm_door import Door
from tests.cloud.azure.arm_server import wired
from tests.cloud.azure.arm_state import SUBSCRIPTION, TENANT
from tests.cloud.azure.conftest import Credential

OTHER = "22222222-2222-3333-4444-555555555555"


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


def subscriptions(door: Door, *more: dict[str, Any]) -> None:
    def answer(path: str, query: dict[str, str]) -> dict[str, Any] | None:
        assert path == "/subscriptions"
        return {
            "value": [
                {"subscriptionId": SUBSCRIPTION, "displayName": "Imaging", "tenantId": TENANT},
                *more,
            ]
        }

    door.lookups.get = answer  # type: ignore[method-assign]


ANOTHER = {"subscriptionId": OTHER, "displayName": "Finance", "tenantId": TENANT}


def test_a_person(door: Door) -> None:
    text = token(oid="0b1f", upn="ann@example.org", tid=TENANT, idtyp="user")
    door.tokens = {text}
    credential = Credential(text)
    transport = RequestsTransport(session=wired(door))
    with Arm(credential, transport=transport, clock=door.azure.clock) as arm:
        login = log_in(arm, credential, environment={})
    assert login.subscription_id == SUBSCRIPTION
    assert login.tenant_id == TENANT
    assert (login.object_id, login.kind, login.who) == ("0b1f", "User", "ann@example.org")


def test_a_program(arm: Arm, door: Door) -> None:
    text = token(oid="0b1f", appid="app-1", idtyp="app")
    login = log_in(arm, Credential(text), environment={})
    assert (login.object_id, login.kind, login.who) == ("0b1f", "ServicePrincipal", "app-1")


@pytest.mark.parametrize("text", ["opaque", "a.b.c", "a.%%%.c", "..", "e30.W10.x"])
def test_a_token_that_tells_nothing(arm: Arm, text: str) -> None:
    login = log_in(arm, Credential(text), environment={})
    assert (login.object_id, login.kind) == (None, "User")


@pytest.mark.parametrize(
    ("wanted", "environment", "chosen"),
    [
        (OTHER, {}, OTHER),
        (OTHER.upper(), {}, OTHER),
        ("finance", {}, OTHER),
        (None, {"AZURE_SUBSCRIPTION_ID": OTHER}, OTHER),
        (SUBSCRIPTION, {"AZURE_SUBSCRIPTION_ID": OTHER}, SUBSCRIPTION),
    ],
)
def test_the_subscription_that_is_named(
    arm: Arm, door: Door, wanted: str | None, environment: dict[str, str], chosen: str
) -> None:
    subscriptions(door, ANOTHER)
    login = log_in(arm, Credential(), wanted, environment=environment)
    assert login.subscription_id == chosen


def test_the_choice_of_the_azure_cli(arm: Arm, door: Door, tmp_path: Path) -> None:
    subscriptions(door, ANOTHER)
    profile = {"subscriptions": [{"id": SUBSCRIPTION}, {"id": OTHER, "isDefault": True}]}
    text = json.dumps(profile)
    (tmp_path / "azureProfile.json").write_text(text, encoding="utf-8-sig")  # as az writes it
    environment = {"AZURE_CONFIG_DIR": str(tmp_path)}
    assert log_in(arm, Credential(), environment=environment).subscription_id == OTHER


@pytest.mark.parametrize("profile", ["", "{", "[]", '{"subscriptions": [1]}'])
def test_nothing_tells_which(arm: Arm, door: Door, tmp_path: Path, profile: str) -> None:
    subscriptions(door, ANOTHER)
    (tmp_path / "azureProfile.json").write_text(profile)
    with pytest.raises(LoginError, match=r"Finance.*Imaging.*--subscription"):
        log_in(arm, Credential(), environment={"AZURE_CONFIG_DIR": str(tmp_path)})


def test_one_that_is_not_seen(arm: Arm, door: Door) -> None:
    with pytest.raises(LoginError, match="no subscription called 'Sales'"):
        log_in(arm, Credential(), "Sales", environment={})
    subscriptions(door, ANOTHER, {**ANOTHER, "subscriptionId": OTHER.replace("2", "3")})
    with pytest.raises(LoginError, match="several subscriptions called 'Finance'"):
        log_in(arm, Credential(), "Finance", environment={})


def test_none_at_all(arm: Arm, door: Door) -> None:
    door.lookups.get = lambda path, query: {"value": []}  # type: ignore[method-assign]
    with pytest.raises(LoginError, match="az login"):
        log_in(arm, Credential(), environment={})


class LoggedOut:
    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        raise ClientAuthenticationError(
            "Please run 'az login' to set up an account\nTo mitigate this issue, see a long page."
        )


def test_nobody_is_logged_in(door: Door) -> None:
    transport = RequestsTransport(session=wired(door))
    with (
        Arm(LoggedOut(), transport=transport) as arm,
        pytest.raises(LoginError, match="Nobody is logged in to Azure"),
    ):
        log_in(arm, LoggedOut(), environment={})
    assert not door.seen


def test_this_machines_credential_is_azures_own() -> None:
    assert callable(default_credential().get_token)
