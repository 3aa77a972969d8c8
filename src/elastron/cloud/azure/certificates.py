"""Certificates of a VPN: a root that is made here, and one of its children for each client.

Azure gets the public half of the root, and lets in whoever shows a certificate that it signed and
that is not revoked. The root's private key never leaves the computer it was made on: who has it
can let anybody in.

Nothing is written here; callers keep the texts, keys for their owner's eyes only.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from elastron.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509

ROOT_DAYS = 5 * 365
CLIENT_DAYS = 365
#: A certificate with less than this left is made anew when it is asked for.
RENEW_BEFORE = timedelta(days=30)

_KEY_BITS = 3072  # as strong as AES-128; Azure's gateways take RSA only
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Clocks differ, and a certificate from the future is refused.
_BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, both as PEM."""

    pem: bytes
    key_pem: bytes = field(repr=False)

    @cached_property
    def _x509(self) -> x509.Certificate:
        from cryptography import x509  # noqa: PLC0415  - of the extra `azure`

        return x509.load_pem_x509_certificate(self.pem)

    @property
    def name(self) -> str:
        """Whose it is (the subject's common name)."""
        return _common_name(self._x509.subject)

    @property
    def issuer(self) -> str:
        """Who signed it."""
        return _common_name(self._x509.issuer)

    @property
    def ends(self) -> datetime:
        """Until when it is good, in UTC."""
        return self._x509.not_valid_after_utc

    @property
    def thumbprint(self) -> str:
        """SHA-1 of it, as Azure names revoked certificates."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

        return self._x509.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  - a name only

    @property
    def public_data(self) -> str:
        """It, without its key, as Azure wants root certificates: base64 of DER on one line."""
        from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

        return base64.b64encode(self._x509.public_bytes(Encoding.DER)).decode()

    def is_old(self, now: datetime) -> bool:
        """Whether it ends soon."""
        return self.ends - now < RENEW_BEFORE

    def signed(self, other: Certificate) -> bool:
        """Whether `other` is signed by this one."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

        try:
            other._x509.verify_directly_issued_by(self._x509)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True


def read_certificate(pem: bytes, key_pem: bytes, *, source: str) -> Certificate:
    """A certificate and key that were kept.

    Args:
        pem: the certificate.
        key_pem: its key.
        source: named in errors.

    Raises:
        ConfigError: one of them cannot be read, or they do not belong together.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    certificate = Certificate(pem, key_pem)
    try:
        key = load_pem_private_key(key_pem, None)
        fits = key.public_key() == certificate._x509.public_key()
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{source}: no certificate with its key can be read there.") from error
    if not fits:
        raise ConfigError(f"{source}: the key does not belong to the certificate.")
    return certificate


def make_root(name: str, *, now: datetime, days: int = ROOT_DAYS) -> Certificate:
    """A root certificate, signed by itself.

    Args:
        name: its common name.
        now: with a time zone.
        days: for how long it is good.

    Raises:
        ConfigError: the name is not fit for one.
    """
    return _make(name, None, now=now, days=days)


def make_client(
    root: Certificate, name: str, *, now: datetime, days: int = CLIENT_DAYS
) -> Certificate:
    """A client's certificate; it ends no later than the root.

    Args:
        root: who signs.
        name: its common name: the site or computer.
        now: with a time zone.
        days: for how long it is good.

    Raises:
        ConfigError: the name is not fit for one, or the root has ended.
    """
    if root.ends <= now:
        raise ConfigError(f"The root certificate {root.name} ended on {root.ends:%Y-%m-%d}.")
    return _make(name, root, now=now, days=days)


def pkcs12(client: Certificate, root: Certificate, password: str) -> bytes:
    """Client's certificate, key and root in one file, as Windows and macOS import them."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        BestAvailableEncryption,
        load_pem_private_key,
    )
    from cryptography.hazmat.primitives.serialization import pkcs12 as files  # noqa: PLC0415

    key: Any = load_pem_private_key(client.key_pem, None)
    return files.serialize_key_and_certificates(
        client.name.encode(),
        key,
        client._x509,
        [root._x509],
        BestAvailableEncryption(password.encode()),
    )


def check_name(name: str) -> str:
    """A name of a client, which also names its files.

    Raises:
        ConfigError: it cannot be one.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name[:70]!r} cannot name a certificate: letters, digits, '.', '_' and '-', at most "
            "64, a letter or digit first."
        )
    return name


def _make(name: str, root: Certificate | None, *, now: datetime, days: int) -> Certificate:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, check_name(name))])
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    ends = now + timedelta(days=days)
    if root is None:
        issuer, signer, issuer_key = subject, key, key.public_key()
    else:
        issuer, ends = root._x509.subject, min(ends, root.ends)
        loaded: Any = serialization.load_pem_private_key(root.key_pem, None)
        signer, issuer_key = loaded, loaded.public_key()
    usage = dict.fromkeys(_USAGES, False) | (
        {"key_cert_sign": True, "crl_sign": True} if root is None else {"digital_signature": True}
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before((now - _BACKDATED).astimezone(UTC))
        .not_valid_after(ends.astimezone(UTC))
        .add_extension(
            x509.BasicConstraints(ca=root is None, path_length=0 if root is None else None),
            critical=True,
        )
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )
    if root is not None:
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(purpose, critical=False)
        # strongSwan takes a client's identity from here, not from the subject.
        alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
        builder = builder.add_extension(alternative, critical=False)
    made = builder.sign(signer, hashes.SHA256())
    return Certificate(
        made.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _common_name(name: x509.Name) -> str:
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
