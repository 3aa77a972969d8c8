"""What a gadget may ask of storage. Implementations: HTTP client, in-memory, none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BlobKey:
    """What a blob is filed under (storage API, sections 3 and 13).

    Attributes:
        subject: patient, or `$null` for what belongs to a scanner.
        name: e.g. `noise_covariance`.
        device: scanner.
        session: study.
        tags: custom tags, e.g. `{"measurement": "<id>"}`.
    """

    subject: str
    name: str
    device: str | None = None
    session: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


class BlobStore(Protocol):
    """Blocking, thread-safe access to a storage server."""

    def latest(self, key: BlobKey) -> bytes | None:
        """The newest blob under `key`, or None.

        Raises:
            StorageUnavailableError: no answer after retries.
            StorageError: any other refusal.
        """
        ...

    def store(self, key: BlobKey, data: bytes, *, ttl_s: int) -> None:
        """Store `data` durably under `key` for `ttl_s` seconds.

        Raises:
            StorageUnavailableError: no answer after retries.
            StorageError: any other refusal.
        """
        ...
