"""Why a handshake failed, in a word to count and in words to read. Never with a key."""

from __future__ import annotations

import ssl

from elastron.gateway.tls_credentials import Claim
from elastron.service.tls_connection import NamelessError, NotTlsError

#: Outcomes of handshakes, as counted.
OUTCOMES = (
    "ok",
    "unknown_identity",
    "wrong_key",
    "certificate",
    "version",
    "cipher",
    "not_tls",
    "timeout",
    "left",
    "crowded_out",
    "error",
)

_NO_CIPHER = ("cipher", "no cipher in common, or no pre-shared key offered")
_OLD_VERSION = ("version", "the client's TLS version is too old")
_BY_REASON = {
    "UNSUPPORTED_PROTOCOL": _OLD_VERSION,
    "VERSION_TOO_LOW": _OLD_VERSION,
    "WRONG_VERSION_NUMBER": _OLD_VERSION,
    "NO_SHARED_CIPHER": _NO_CIPHER,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": _NO_CIPHER,
    "NO_SUITABLE_KEY_SHARE": _NO_CIPHER,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": ("certificate", "the client has shown no certificate"),
}


#: Failures that say nothing of a key, though a client has named one.
_NOT_ITS_KEY = {"version", "crowded_out"}


def explain(error: OSError, claim: Claim) -> tuple[str, str]:
    """Outcome and words for a handshake's error."""
    match error:
        case NotTlsError():
            outcome, words = "not_tls", "the client does not speak TLS (plain TCP to the TLS port?)"
        case NamelessError():
            outcome, words = "certificate", str(error)
        case ConnectionAbortedError():
            outcome, words = "crowded_out", str(error)
        case ssl.SSLCertVerificationError():
            outcome = "certificate"
            words = f"the client's certificate is refused: {error.verify_message}"
        case ssl.SSLError():
            outcome, words = _of_openssl(error)
        case _:
            outcome, words = "left", "the client hung up during the handshake"
    if claim.identity is None or outcome in _NOT_ITS_KEY:
        return outcome, words
    if claim.known:
        return "wrong_key", f"wrong key ({words})"
    return "unknown_identity", f"unknown, revoked or retired identity ({words})"


def _of_openssl(error: ssl.SSLError) -> tuple[str, str]:
    reason = error.reason or str(error.args[-1] if error.args else "unknown")
    return _BY_REASON.get(reason, ("error", reason.lower().replace("_", " ")))
