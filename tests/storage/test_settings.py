from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from elastron.errors import ConfigError
from elastron.storage import StorageSettings, original_settings
from elastron.storage.stores import database_provider, open_objects


def test_the_original_servers_defaults() -> None:
    settings = StorageSettings()
    assert settings.port == 3333
    assert settings.database == "_data/metadata.db"
    assert settings.blobs == "_data/blobs"
    assert settings.log_requests
    assert not settings.exposed
    settings.check()


def test_the_original_servers_variables(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("pass word\n")
    values = original_settings(
        {
            "MRD_STORAGE_SERVER_DATABASE_PROVIDER": "PostgreSQL",
            "MRD_STORAGE_SERVER_DATABASE_CONNECTION_STRING": "user=mrd host=db",
            "MRD_STORAGE_SERVER_DATABASE_PASSWORD_FILE": str(secret),
            "MRD_STORAGE_SERVER_STORAGE_PROVIDER": "Filesystem",
            "MRD_STORAGE_SERVER_STORAGE_CONNECTION_STRING": "/data/blobs",
            "MRD_STORAGE_SERVER_STORAGE_CONNECTION_STRING_FILE": "/nowhere",  # the plain one wins
            "MRD_STORAGE_SERVER_PORT": "9112",
            "MRD_STORAGE_SERVER_LOG_REQUESTS": "false",
            "MRD_STORAGE_SERVER_UNKNOWN": "x",
        }
    )
    settings = StorageSettings.model_validate(values)
    assert settings.database_provider == "postgresql"
    assert settings.database == "user=mrd host=db"
    assert settings.database_password is not None
    assert settings.database_password.get_secret_value() == "pass word"
    assert settings.blobs == "/data/blobs"
    assert settings.port == 9112
    assert not settings.log_requests


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="MRD_STORAGE_SERVER_PORT_FILE"):
        original_settings({"MRD_STORAGE_SERVER_PORT_FILE": "/nowhere"})


def test_an_unknown_provider_is_fatal() -> None:
    for values in ({"database_provider": "mysql"}, {"blobs_provider": "tape"}, {"nonsense": 1}):
        with pytest.raises(ValidationError):
            StorageSettings.model_validate(values)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "storage.example", ""])  # noqa: S104
def test_an_open_port_needs_a_guard(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="anybody"):
        StorageSettings(host=host).check()
    StorageSettings(host=host, token=SecretStr("t")).check()
    StorageSettings(host=host, allow_insecure=True).check()
    pem = tmp_path / "pem"
    StorageSettings(host=host, tls_client_ca=pem, tls_certificate=pem, tls_key=pem).check()
    with pytest.raises(ConfigError, match="anybody"):  # encrypted, but open to all
        StorageSettings(host=host, tls_certificate=pem, tls_key=pem).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.0.1", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    StorageSettings(host=host).check()


def test_what_cannot_be_meant(tmp_path: Path) -> None:
    empty = tmp_path / "token"
    empty.write_text("\n")
    pem = tmp_path / "pem"
    for settings in (
        StorageSettings(token_file=empty),
        StorageSettings(token_file=tmp_path / "missing"),
        StorageSettings(tls_certificate=pem),
        StorageSettings(tls_client_ca=pem),
        StorageSettings(trusted_proxies=("nonsense",)),
    ):
        with pytest.raises(ConfigError):
            settings.check()


def test_tokens_for_rotation(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("new\n old \n\n")
    assert StorageSettings(token_file=file).tokens() == ("new", "old")


def test_secrets_are_not_shown() -> None:
    shown = repr(
        StorageSettings(
            token=SecretStr("secret1"),
            database_password=SecretStr("secret2"),
            blobs="AccountKey=3;",
        )
    )
    assert "secret" not in shown
    assert "AccountKey" not in shown


def test_sizes_for_people() -> None:
    assert StorageSettings(blob_bytes_max="2GB").blob_bytes_max == 2_000_000_000


def test_the_database_is_told_from_its_address() -> None:
    assert database_provider(StorageSettings()) == "sqlite"
    assert database_provider(StorageSettings(database="postgresql://h/d")) == "postgresql"
    assert (
        database_provider(StorageSettings(database="a.db", database_provider="sqlite")) == "sqlite"
    )


@pytest.mark.parametrize(
    "blobs",
    [
        "ftp://x",
        "azure://",
        "azure://a/b/c",
        "s3://",
        "s3://b?region=x&secret=y",
        "s3://k@b",
        "AccountName=a;",
        "DefaultEndpointsProtocol=https;AccountName=a",
    ],
)
def test_places_that_are_none(blobs: str) -> None:
    with pytest.raises(ConfigError):
        open_objects(StorageSettings(blobs=blobs))
