"""The MRD storage server: blobs filed under tags, over HTTP, durable.

`serve` runs it; `StorageSettings` say how. The API is described in
docs/reference/storage-api.md.
"""

from elastron.storage.logs import configure_logging
from elastron.storage.server import serve, storage_app
from elastron.storage.settings import StorageSettings, original_settings

__all__ = ["StorageSettings", "configure_logging", "original_settings", "serve", "storage_app"]
