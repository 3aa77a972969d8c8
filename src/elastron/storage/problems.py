"""What can go wrong inside the storage server, as types.

StorageError (elastron.errors)
├── RequestError            the client's request is refused; carries the HTTP answer
├── BlobMissingError        metadata is there, the bytes are not
├── MissingBytesError       the same, with the answer that should have been
├── StagedRecordGoneError   the upload was collected or deleted while it ran
├── UploadCutError          the client went away or fell silent in the middle of a body
├── StoreFullError          no room left on the device that keeps the blobs or the metadata
├── SchemaTooNewError       the metadata database was written by a newer server
└── StorageUnavailableError (elastron.errors)   database or blob store does not answer
"""

from __future__ import annotations

from elastron.errors import StorageError


class RequestError(StorageError):
    """The client's request is refused.

    Attributes:
        status: HTTP status.
        code: word for programs, e.g. `InvalidTag`.
        message: sentence for people; never holds a tag value.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class BlobMissingError(StorageError):
    """The metadata names a blob that the blob store does not hold."""


class StagedRecordGoneError(StorageError):
    """The staged record of a running upload is gone: collected or deleted by another server."""


class UploadCutError(StorageError):
    """The client went away in the middle of a body."""


class StoreFullError(StorageError):
    """No room is left where blobs or metadata are kept."""


class SchemaTooNewError(StorageError):
    """The metadata database was written by a newer server; this one must not touch it."""


class MissingBytesError(StorageError):
    """A live record's bytes are gone: answered with its headers and 500.

    Attributes:
        blob: the blob's UUID.
        headers: of the answer that should have been.
    """

    def __init__(self, message: str, blob: str, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__(message)
        self.blob = blob
        self.headers = headers
