"""The commands for Azure in front of the stand-in, in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from elastron.cloud.azure.description import make_aks
from elastron.cloud.azure.resource import Facts
from elastron.cloud.azure.resources import resources
from tests.cloud.azure.arm_door import Door
from tests.cloud.azure.arm_state import SUBSCRIPTION, TENANT
from tests.cloud.azure.conftest import Credential, arm_to

FACTS = Facts(subscription_id=SUBSCRIPTION, tenant_id=TENANT, kubernetes_version="1.34")


def networked(door: Door, monkeypatch: pytest.MonkeyPatch, token: str = "good-token") -> None:  # noqa: S107
    """Let the commands log in to the stand-in."""

    def client(credential: Any, *, tell: Callable[[str], None] | None = None) -> Any:
        return arm_to(door, credential.token, tell)

    monkeypatch.setattr("elastron.cloud.azure.arm.Arm", client)
    monkeypatch.setattr(
        "elastron.cloud.azure.session.default_credential", lambda: Credential(token)
    )


def make_network(door: Door, name: str = "mr", location: str = "westeurope") -> None:
    """Group and network of a cluster, as `aks up` makes them."""
    wanted = resources(make_aks({"name": name, "location": location}), FACTS)
    with arm_to(door) as arm:
        for each in wanted:
            if each.key in ("group", "network"):
                arm.put(each.id, each.api_version, each.body, each.key)
