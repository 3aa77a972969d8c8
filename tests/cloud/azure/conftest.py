"""A subscription of Azure's that is this machine's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport

from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.engine import Engine
from elastron.cloud.azure.events import Progress, silent
from elastron.cloud.azure.session import Login
from tests.cloud.azure.arm_door import Door
from tests.cloud.azure.arm_server import Direct, make_certificate, wired
from tests.cloud.azure.arm_state import SUBSCRIPTION, TENANT, USER, Azure

LOGIN = Login(SUBSCRIPTION, "Imaging research", TENANT, USER, "User", "ann@example.org")


GOOD = "good-token"


class Credential:
    """Gives the same token at all times."""

    def __init__(self, token: str = GOOD) -> None:
        self.token = token

    def get_token(self, *scopes: str, **more: Any) -> AccessToken:
        assert scopes == ("https://management.azure.com/.default",)
        return AccessToken(self.token, 4_000_000_000)


def arm_to(door: Door, token: str = GOOD, tell: Callable[[str], None] | None = None) -> Arm:
    """A client in this process, whose time is the stand-in's."""
    transport = RequestsTransport(session=wired(door), session_owner=False)
    return Arm(Credential(token), transport=transport, clock=door.azure.clock, tell=tell)


def engine_to(door: Door, progress: Progress = silent) -> Engine:
    """An engine by the shortest way, as a process that has just begun has it."""
    arm = Arm(Credential(), transport=Direct(door), clock=door.azure.clock)
    return Engine(arm, LOGIN, progress)


@pytest.fixture
def azure() -> Azure:
    return Azure()


@pytest.fixture
def door(azure: Azure) -> Door:
    return Door(azure)


@pytest.fixture
def arm(door: Door) -> Iterator[Arm]:
    with arm_to(door) as client:
        yield client


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("arm") / "arm.pem")
