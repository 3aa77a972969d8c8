"""Which blob: (subject, uuid), and its place in a URL (storage API, section 2)."""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UUID_LENGTH = 36

# What Go's URL.String leaves alone in a path, without the slash: that one is part of the
# subject here and must not become part of the path.
_PATH_SAFE = "$&+,:;=@"


@dataclass(frozen=True, slots=True, order=True)
class BlobId:
    """A blob's key.

    Attributes:
        subject: patient ID, or `$null`; any text without control characters.
        id: UUID in lower-case text form.
    """

    subject: str
    id: str

    @classmethod
    def new(cls, subject: str) -> BlobId:
        """A fresh random id."""
        return cls(subject, str(uuid.uuid4()))

    @property
    def path(self) -> str:
        """Where a blob store keeps it: `<base64url(subject)>/<uuid>`, as the original does.

        Base64url has neither slash nor dot, so no subject can climb out of the store.
        """
        return f"{self.folder}/{self.id}"

    @property
    def folder(self) -> str:
        """The subject's part of `path`."""
        return base64.urlsafe_b64encode(self.subject.encode()).rstrip(b"=").decode()

    def link(self, origin: str) -> str:
        """The metadata's absolute URL; `/data` after it is the bytes' URL."""
        return f"{origin}/v1/blobs/{self.id}-{quote(self.subject, safe=_PATH_SAFE)}"


def parse_segment(segment: bytes) -> BlobId | None:
    """Read one path segment `<uuid>-<subject>`, percent-encoded or raw UTF-8.

    Returns:
        The id, or None where it cannot be one (the caller answers 404).
    """
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return None
    if len(text) <= _UUID_LENGTH or not _UUID.fullmatch(text[:_UUID_LENGTH]):
        return None
    # Character 36 is not looked at, as in the original; a NUL is in no stored subject.
    if "\x00" in text:
        return None
    return BlobId(text[_UUID_LENGTH + 1 :], text[:_UUID_LENGTH].lower())
