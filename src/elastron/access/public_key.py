"""OpenSSH public keys: what a `.pub` file or a line of authorized_keys holds (RFC 4253, 6.6)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from elastron.errors import ConfigError

#: Kinds OpenSSH takes today. DSA is gone, and RSA is named by its key's kind, not its signature's.
_KINDS = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
#: Bits; NIST SP 800-57: smaller ones are for the past.
_RSA_BITS_MIN = 2048


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One public key.

    Attributes:
        kind: e.g. `ssh-ed25519`.
        blob: as on the wire.
        comment: free text behind it.
    """

    kind: str
    blob: bytes
    comment: str = ""

    @property
    def line(self) -> str:
        """Kind and key as in a file, without the comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` and the servers' logs show it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"


def parse_public_key(text: str) -> PublicKey:
    """Read the one key of a `.pub` file.

    Raises:
        ConfigError: it is a private key, or no key OpenSSH would take today.
    """
    if "PRIVATE KEY" in text:
        raise ConfigError("this is a private key; give the file that ends in .pub")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        raise ConfigError(f"one public key is expected, not {len(lines)} lines")
    kind, _, rest = lines[0].strip().partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    if kind not in _KINDS:
        raise ConfigError("not an OpenSSH public key of a kind that is taken today, e.g. ed25519")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ConfigError("the public key is cut short or damaged") from None
    parts = _parts(blob)
    if len(parts) < 2 or parts[0] != kind.encode():
        raise ConfigError("the public key is cut short or damaged")
    if kind == "ssh-rsa":
        bits = int.from_bytes(parts[-1], "big").bit_length()
        if len(parts) != 3 or bits < _RSA_BITS_MIN:
            raise ConfigError(f"an RSA key of {bits} bits is too weak; make one: ssh-keygen")
    return PublicKey(kind, blob, comment.strip())


def _parts(blob: bytes) -> list[bytes]:
    """The strings a blob consists of; fewer if it is cut short."""
    parts, at = [], 0
    while at + 4 <= len(blob):
        (length,) = struct.unpack_from(">I", blob, at)
        if at + 4 + length > len(blob):
            return []
        parts.append(blob[at + 4 : at + 4 + length])
        at += 4 + length
    return parts if at == len(blob) else []
