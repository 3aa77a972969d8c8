from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from elastron.storage import StorageSettings

from .parts import (
    ANSWER_S,
    azurite_program,
    folder_settings,
    new_database,
    postgresql_programs,
    running_azurite,
    running_postgresql,
    running_s3,
    running_server,
)

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _quiet_logs() -> Iterator[None]:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    if postgresql_programs() is None:
        pytest.skip("PostgreSQL is not installed: run .ci/storage-parts.sh")
    with running_postgresql() as options:
        yield options


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if azurite_program() is None:
        pytest.skip("Azurite is not installed: run .ci/storage-parts.sh")
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection_string:
        yield connection_string


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        pytest.skip("the S3 server is not installed: pip install 'moto[server]'")
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with running_s3(tmp_path_factory.mktemp("s3")) as url:
        yield url
    patch.undo()


def open_place(place: str, request: pytest.FixtureRequest, folder: Path) -> StorageSettings:
    """Settings for one pair of databases and blob stores, all empty of subjects we use."""
    settings = folder_settings(folder)
    database, _, blobs = place.partition("+")
    if database == "postgresql":
        options = request.getfixturevalue("postgresql")
        settings["database"] = new_database(options, f"mrd{next(_numbers)}")
        settings["database_provider"] = "postgresql"
    if blobs != "folder":
        settings["blobs"] = request.getfixturevalue(blobs)
    return StorageSettings(**settings)


PLACES = ("sqlite+folder", "postgresql+folder", "sqlite+azurite", "postgresql+s3")


@pytest.fixture(scope="module", params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> StorageSettings:
    return open_place(request.param, request, tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def everywhere(place: StorageSettings) -> Iterator[httpx.Client]:
    """A client of a server over each pair of stores in turn."""
    with (
        running_server(place) as url,
        httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def client(server_folder: Path) -> Iterator[httpx.Client]:
    """A client of a server over SQLite and a folder."""
    settings = StorageSettings(**folder_settings(server_folder))
    with (
        running_server(settings) as url,
        httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False) as client,
    ):
        yield client
