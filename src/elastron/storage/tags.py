"""What a blob is filed under, and which tags a client may set (storage API, section 4)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from elastron.storage.durations import parse_duration
from elastron.storage.identity import BlobId
from elastron.storage.problems import RequestError
from elastron.storage.query import group

TAG_NAME = r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$"
VALUE_BYTES_MAX = 128
RESERVED = frozenset(
    # `data` and `expires` are fields of the answer: a tag of that name would overwrite them.
    ("location", "last-modified", "lastmodified", "content-type", "contenttype", "data", "expires")
)
SINGLE = ("device", "name", "session")

_TAG_NAME = re.compile(TAG_NAME)
# Values go out as header lines: nothing that could end a line, or that HTTP forbids in one.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class BlobTags:
    """A blob's description.

    Attributes:
        device: scanner. Absent tags are None.
        name: what it is, e.g. `noise_covariance`.
        session: study.
        content_type: the client's header, kept verbatim (latin-1 text of its bytes).
        custom: lower-case tag name -> its values, sorted, each once.
    """

    device: str | None = None
    name: str | None = None
    session: str | None = None
    content_type: str | None = None
    custom: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewBlob:
    """What a create request asks for.

    Attributes:
        subject: patient ID or `$null`.
        tags: everything else it is filed under.
        ttl_ms: time to live, in milliseconds; None: kept for ever.
    """

    subject: str
    tags: BlobTags
    ttl_ms: int | None


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob's metadata.

    Attributes:
        key: subject and id.
        tags: its description.
        created_ms: when its upload began, milliseconds since 1970.
        expires_ms: when it expires, or None.
        size_bytes: None where an older server wrote the record.
    """

    key: BlobId
    tags: BlobTags
    created_ms: int
    expires_ms: int | None
    size_bytes: int | None = None


def parse_new_blob(pairs: Sequence[tuple[str, str]], content_type: str | None) -> NewBlob:
    """Check a create request's tags.

    Raises:
        RequestError: 400 with code InvalidTag or InvalidSubject.
    """
    tags = group(pairs)
    subject = _subject(tags.pop("subject", None))
    ttl_ms = _time_to_live(tags.pop("_ttl", None))
    single: dict[str, str | None] = {}
    for name in SINGLE:
        values = tags.pop(name, [])
        if len(values) > 1:
            raise _invalid(f"Tag '{name}' may be given only once; it is given {len(values)} times.")
        single[name] = _value(name, values[0]) if values else None
    custom: dict[str, tuple[str, ...]] = {}
    for name, values in tags.items():
        if name in RESERVED:
            raise _invalid(f"Tag name '{name}' is reserved; choose another.")
        if not _TAG_NAME.match(name) or name.endswith("\n"):
            # The name itself is not repeated: it is the client's text and may be anything.
            raise _invalid(f"A tag name does not match {TAG_NAME}.")
        custom[name] = tuple(sorted({_value(name, value) for value in values}))
    return NewBlob(subject, BlobTags(**single, content_type=content_type, custom=custom), ttl_ms)


def _subject(values: list[str] | None) -> str:
    if values is None:
        raise _invalid("Tag 'subject' is missing; use $null for what belongs to no subject.")
    if len(values) > 1:
        raise RequestError(400, "InvalidSubject", "Tag 'subject' may be given only once.")
    if not values[0]:
        raise RequestError(400, "InvalidSubject", "Tag 'subject' is empty.")
    return _value("subject", values[0], code="InvalidSubject")


def _time_to_live(values: list[str] | None) -> int | None:
    durations: list[int] = []
    for value in values or ():
        try:
            durations.append(parse_duration(value))
        except ValueError as error:
            raise _invalid(f"_ttl is {error}; write it like 90s, 1h30m or 48h.") from error
        if durations[-1] < 0:
            raise _invalid("_ttl is negative.")
    return durations[0] // 1_000_000 if durations else None


def _value(name: str, value: str, *, code: str = "InvalidTag") -> str:
    length = len(value.encode())
    if length > VALUE_BYTES_MAX:
        raise RequestError(
            400,
            code,
            f"The value of tag '{name}' has {length} bytes as UTF-8; "
            f"at most {VALUE_BYTES_MAX} are allowed.",
        )
    if _CONTROL.search(value):
        raise RequestError(400, code, f"The value of tag '{name}' holds a control character.")
    return value


def _invalid(message: str) -> RequestError:
    return RequestError(400, "InvalidTag", message)
