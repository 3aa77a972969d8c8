"""Pick the blob store that the settings name."""

from __future__ import annotations

from elastron.errors import ConfigError
from elastron.storage.cloud import open_azure, open_s3
from elastron.storage.folder import FolderStore
from elastron.storage.ports import ObjectStore
from elastron.storage.settings import StorageSettings


def database_provider(settings: StorageSettings) -> str:
    """`sqlite` or `postgresql`."""
    if settings.database_provider is not None:
        return settings.database_provider
    return "postgresql" if settings.database.startswith("postgres") else "sqlite"


def open_objects(settings: StorageSettings) -> ObjectStore:
    """Open the blob store.

    Raises:
        ConfigError: a location that fits no store.
    """
    location = settings.blobs
    provider = settings.blobs_provider or _provider(location)
    if provider == "s3":
        return open_s3(location)
    if provider == "azureblob":
        return open_azure(location)
    return FolderStore(location)


def _provider(location: str) -> str:
    scheme, separator, _ = location.partition("://")
    if "accountname=" in location.lower() or "usedevelopmentstorage=" in location.lower():
        return "azureblob"
    if not separator:
        return "filesystem"
    providers = {"s3": "s3", "azure": "azureblob"}
    if scheme not in providers:
        raise ConfigError(
            f"Blobs cannot be kept at {scheme}://…; give a folder, s3://, azure:// or an Azure "
            "connection string."
        )
    return providers[scheme]
