"""Keys and certificates of a TLS listener: read from files, turned into contexts of OpenSSL."""

from __future__ import annotations

import hmac
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from elastron.errors import ConfigError, ElastronError
from elastron.gateway.tls_settings import TlsPeer, TlsSettings
from elastron.service.psk import (
    FILE_BYTES_MAX,
    PreSharedKey,
    identity_problem,
    parse_keys,
    parse_retiring,
    retiring_file,
    tenant_name,
)
from elastron.service.tls_connection import NamelessError

_T = TypeVar("_T")

#: TLS 1.2 with a key exchange of its own (so that a key stolen later opens no recording) and
#: authenticated encryption; OpenSSL has no AES of that kind with PSK. TLS 1.3 has nothing else.
_PSK_CIPHERS = "ECDHE-PSK-CHACHA20-POLY1305"
_CERTIFICATE_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: Whatever somebody asks for, never without authentication or encryption.
_NEVER = ":!aNULL:!eNULL"

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

PSK_NEEDS = (
    "TLS with pre-shared keys needs Python 3.13 or newer (this one's ssl module has none): run "
    "the gateway with it, put a stunnel server in front of it, or use certificates"
)


@dataclass(slots=True)
class Claim:
    """Who a client says it is, while the handshake runs."""

    identity: str | None = None
    known: bool = False


class Credentials(Protocol):
    """What a listener proves itself and its clients with; never changed once made."""

    def context(self, claim: Claim) -> ssl.SSLContext:
        """A context for one connection; `claim` is filled in by its handshake."""
        ...

    def identify(self, tls: ssl.SSLObject, claim: Claim) -> TlsPeer:
        """Who it is, after the handshake.

        Raises:
            NamelessError: nobody we can name.
        """
        ...

    def describe(self) -> dict[str, object]:
        """For the log; no secrets."""
        ...


def load(settings: TlsSettings, *, empty_ok: bool = False) -> Credentials:
    """Read the files the settings name.

    Args:
        settings: of the listener.
        empty_ok: a file without a key lets nobody in; otherwise it is an error.

    Raises:
        ElastronError: a file is missing or wrong, or this Python has no TLS-PSK.
    """
    if settings.psk_file is not None:
        if not getattr(ssl, "HAS_PSK", False):
            raise ElastronError(PSK_NEEDS)
        return _load_keys(settings, settings.psk_file, empty_ok=empty_ok)
    return _load_certificate(settings)


def files(settings: TlsSettings) -> list[Path]:
    """All files a change of which matters."""
    if settings.psk_file is not None:
        return [settings.psk_file, retiring_file(settings.psk_file)]
    named = (settings.certificate, settings.private_key, settings.client_ca)
    return [path for path in named if path is not None]


# --- pre-shared keys ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PskCredentials:
    """Identities and their keys."""

    settings: TlsSettings
    keys: dict[str, PreSharedKey]
    ends: dict[str, datetime]
    _decoy: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def context(self, claim: Claim) -> ssl.SSLContext:
        """One of its own for each connection, so that the callback knows whose handshake it is.

        And none can be resumed by a client whose key has been revoked since.
        """
        context = _context(self.settings, _PSK_CIPHERS)
        context.set_psk_server_callback(  # type: ignore[attr-defined]  - Python 3.13
            lambda identity: self._key(identity, claim)
        )
        return context

    def _key(self, identity: str | None, claim: Claim) -> bytes:
        if identity is None or identity_problem(identity) is not None:
            return b""  # a ticket of another server's session may come here, too
        claim.identity = identity
        entry, end = self.keys.get(identity), self.ends.get(identity)
        claim.known = entry is not None and (end is None or end.timestamp() > time.time())
        if entry is not None and claim.known:
            return entry.key
        # As RFC 4279 has it: an unknown client sees what one with a wrong key sees, and so
        # learns no names.
        return hmac.digest(self._decoy, identity.encode(), "sha256")

    def identify(self, tls: ssl.SSLObject, claim: Claim) -> TlsPeer:
        """The identity whose key it has."""
        if claim.identity is None or not claim.known:
            raise NamelessError("no pre-shared key was used")
        return _peer(tls, claim.identity, tenant_name(claim.identity))

    def describe(self) -> dict[str, object]:
        """How many keys there are."""
        return {"identities": len(self.keys), "retiring": len(self.ends.keys() & self.keys.keys())}


def _load_keys(settings: TlsSettings, path: Path, *, empty_ok: bool) -> PskCredentials:
    beside = retiring_file(path)
    keys = _parsed(path, parse_keys)
    if not keys and not empty_ok:
        raise ConfigError(f"{path} has no key; make some with: elastron access psk create")
    ends = _parsed(beside, parse_retiring) if beside.exists() else {}
    return PskCredentials(settings, keys, ends)


def _parsed(path: Path, parse: Callable[[str], _T]) -> _T:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1).decode()
        return parse(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


# --- certificates -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CertificateCredentials:
    """The gateway's certificate, and who signs its clients'."""

    settings: TlsSettings
    _shared: ssl.SSLContext

    def context(self, claim: Claim) -> ssl.SSLContext:
        """The same for all connections; nothing in it belongs to one."""
        del claim
        return self._shared

    def identify(self, tls: ssl.SSLObject, claim: Claim) -> TlsPeer:
        """The name in the client's certificate, if it had to show one."""
        del claim
        if self.settings.client_ca is None:
            return _peer(tls, "", "")
        name = certificate_name(tls.getpeercert() or {})
        if not name:
            raise NamelessError("the client's certificate has no name")
        return _peer(tls, name, name)

    def describe(self) -> dict[str, object]:
        """Whose certificates are asked for."""
        return {"client_certificates": self.settings.client_ca is not None}


def certificate_name(certificate: dict) -> str:
    """The subject's common name; without one, the first alternative name."""
    for relative_name in certificate.get("subject", ()):
        for key, value in relative_name:
            if key == "commonName" and value:
                return str(value)
    for kind, value in certificate.get("subjectAltName", ()):
        if kind in {"DNS", "URI", "email"} and value:
            return str(value)
    return ""


def _load_certificate(settings: TlsSettings) -> CertificateCredentials:
    context = _context(settings, _CERTIFICATE_CIPHERS)
    certificate, key, authority = settings.certificate, settings.private_key, settings.client_ca
    assert certificate is not None  # noqa: S101 - the settings see to it
    for path in files(settings):
        if not path.is_file():
            raise ConfigError(f"{path} is not there, or no file")
    try:
        # An encrypted key would be asked for at the terminal; an empty password is an error.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or "not PEM"
        where = certificate if key is None else f"{certificate} and {key}"
        raise ConfigError(f"{where}: no usable certificate and key ({_words(reason)})") from error
    if authority is not None:
        _demand_clients(context, authority)
    return CertificateCredentials(settings, context)


def _demand_clients(context: ssl.SSLContext, authority: Path) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(authority)
        listed = "-----BEGIN X509 CRL-----" in authority.read_text()
    except (ssl.SSLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{authority}: no usable certificates of signers, PEM") from error
    if listed:  # with a list of revoked ones beside the signers, every signer needs one in force
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


# --- both ---------------------------------------------------------------------------------------


def _context(settings: TlsSettings, ciphers: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.version_min]
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # The client knows which cipher its processor is quick at; all we take are good.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0  # no resumption: a scan is long, and revoked is revoked
    try:
        context.set_ciphers((settings.ciphers or ciphers) + _NEVER)
    except ssl.SSLError:
        raise ConfigError(f"no cipher of TLS 1.2 in {settings.ciphers!r}") from None
    return context


def _peer(tls: ssl.SSLObject, identity: str, tenant: str) -> TlsPeer:
    cipher = tls.cipher()
    return TlsPeer(identity, tenant, tls.version() or "", cipher[0] if cipher else "")


def _words(reason: object) -> str:
    return str(reason).lower().replace("_", " ")
