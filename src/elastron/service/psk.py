"""Pre-shared keys, in the file a stunnel server reads (`PSKsecrets`).

One client a line, `identity:key`, read as stunnel's `psk_read` does: a key of hexadecimal digits is
those bytes, any other key is its own characters (so the base64 text of `client1:4ZYJY+Ho...` is not
decoded). There are no comments.

A site that changes its key has two for a while: `site` and `site@2`. Which of them ends when stands
in a second file beside the first, `stunnel.secrets.retiring`, one `identity:time` a line; stunnel
does not know it, so for stunnel the line has to be taken out of the first file in time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from elastron.errors import ConfigError

#: Bytes; OpenSSL 1.1 takes 128 with the final zero, and old clients have it.
IDENTITY_BYTES_MAX = 127
#: Bytes; stunnel refuses shorter ones as too easy to guess.
KEY_BYTES_MIN = 16
#: Bytes; OpenSSL 1.1 takes no more.
KEY_BYTES_MAX = 256
#: 10,000 clients have 0.5 MB.
FILE_BYTES_MAX = 1 << 20

_GENERATION = re.compile(r"(.+)@[1-9][0-9]{0,8}")
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2}:*)+")


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """One client's key.

    Attributes:
        identity: what the client calls itself, in the clear, in the handshake.
        secret: the key as it stands in the file. Never in a log or an error.
    """

    identity: str
    secret: str = field(repr=False)

    @property
    def key(self) -> bytes:
        """The bytes both sides put into the handshake."""
        if _HEXADECIMAL.fullmatch(self.secret):
            return bytes.fromhex(self.secret.replace(":", ""))
        return self.secret.encode()


def retiring_file(keys: Path) -> Path:
    """The file beside `keys` with the ends of those that are being replaced."""
    return keys.with_name(f"{keys.name}.retiring")


def tenant_name(identity: str) -> str:
    """The site an identity belongs to: `site@2` is the second key of `site`."""
    match = _GENERATION.fullmatch(identity)
    return match[1] if match else identity


def parse_keys(text: str) -> dict[str, PreSharedKey]:
    """Read a `stunnel.secrets` file's text; by identity, in the file's order.

    Raises:
        ConfigError: a line stunnel would not take, or the same identity twice. It names the
            line, never its text.
    """
    keys: dict[str, PreSharedKey] = {}
    for number, line in _lines(text):
        identity, colon, secret = line.partition(":")
        if not colon:
            raise ConfigError(f"line {number} is not identity:key")
        entry = PreSharedKey(identity, secret)
        if problem := identity_problem(identity) or _key_problem(entry):
            raise ConfigError(f"line {number}: {problem}")
        if identity in keys:
            raise ConfigError(f"line {number} has the identity of an earlier line; keep one")
        keys[identity] = entry
    return keys


def render_keys(keys: Iterable[PreSharedKey]) -> str:
    """The text `parse_keys` reads."""
    return "".join(f"{entry.identity}:{entry.secret}\n" for entry in keys)


def parse_retiring(text: str) -> dict[str, datetime]:
    """Read when each retiring identity ends.

    Raises:
        ConfigError: a line is not `identity:time` with a time such as 2026-11-22T12:00:00Z.
    """
    ends: dict[str, datetime] = {}
    for number, line in _lines(text):
        identity, _, instant = line.partition(":")
        try:
            end = datetime.fromisoformat(instant)
        except ValueError:
            end = None
        if not identity or end is None or end.tzinfo is None:
            raise ConfigError(f"line {number} is not identity:time, e.g. site:2026-11-22T12:00:00Z")
        ends[identity] = end
    return ends


def render_retiring(ends: Mapping[str, datetime]) -> str:
    """The text `parse_retiring` reads."""
    return "".join(
        f"{identity}:{end.astimezone(UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')}\n"
        for identity, end in ends.items()
    )


def identity_problem(identity: str) -> str | None:
    """Why it cannot be an identity; None if it can."""
    if not identity or ":" in identity or not identity.isprintable():
        return "an identity is printable characters without a colon"
    if len(identity.encode(errors="replace")) > IDENTITY_BYTES_MAX:
        return f"an identity has at most {IDENTITY_BYTES_MAX} bytes"
    return None


def _key_problem(entry: PreSharedKey) -> str | None:
    try:
        length = len(entry.key)
    except UnicodeEncodeError:
        return "the key is not text"
    if not KEY_BYTES_MIN <= length <= KEY_BYTES_MAX:
        return f"a key has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, this one {length}"
    return None


def _lines(text: str) -> Iterable[tuple[int, str]]:
    if len(text) > FILE_BYTES_MAX:
        raise ConfigError(f"the file has more than {FILE_BYTES_MAX} bytes")
    lines = text.replace("\r\n", "\n").split("\n")
    return ((number, line) for number, line in enumerate(lines, 1) if line)
