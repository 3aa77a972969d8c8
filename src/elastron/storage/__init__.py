"""The MRD storage server: blobs filed under tags, over HTTP, durable.

`serve` runs it; `StorageSettings` and `load_settings` say how. The API is described in
docs/reference/storage-api.md.
"""

from elastron.storage.server import serve, storage_app
from elastron.storage.settings import StorageSettings, load_settings

__all__ = ["StorageSettings", "load_settings", "serve", "storage_app"]
