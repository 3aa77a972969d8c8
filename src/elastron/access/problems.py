"""What is wrong with a tunnel, in words for the person in front of it."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum

from elastron.service.tls_connection import NamelessError


class Kind(StrEnum):
    """Kinds of trouble."""

    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    CUT_OFF = "cut_off"
    TLS = "tls"
    WRONG_KEY = "wrong_key"
    WRONG_HOST = "wrong_host"
    FORBIDDEN = "forbidden"
    LOCAL_PORT = "local_port"
    NO_ANSWER = "no_answer"
    OTHER = "other"


#: Waiting does not mend these; a person has to.
_LASTING = frozenset({Kind.TLS, Kind.WRONG_KEY, Kind.WRONG_HOST, Kind.FORBIDDEN, Kind.LOCAL_PORT})


@dataclass(frozen=True, slots=True)
class Problem:
    """One trouble.

    Attributes:
        kind: what a program may want to know.
        text: what a person wants to know: what happened, and what to do.
    """

    kind: Kind
    text: str

    @property
    def lasting(self) -> bool:
        """Trying again is of no use."""
        return self.kind in _LASTING


def connecting(error: OSError, to: str) -> Problem:
    """Why there is no TCP connection to `to`."""
    match error:
        case socket.gaierror():
            text = f"there is no host of the name in {to}; check the name, and DNS on this machine"
            return Problem(Kind.DNS, text)
        case ConnectionRefusedError():
            text = (
                f"{to} refuses the connection: nothing listens on that port there, or a firewall "
                "says no; check the port, and that the gateway or its load balancer is up"
            )
            return Problem(Kind.REFUSED, text)
        case TimeoutError():
            text = (
                f"{to} does not answer: a firewall on the way drops it, or the address is wrong; "
                "outgoing TCP to that port must be allowed"
            )
            return Problem(Kind.TIMEOUT, text)
        case _:
            reason = error.strerror or str(error)
            return Problem(Kind.UNREACHABLE, f"{to} cannot be reached: {reason}")


_KEY_ALERTS = {
    "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY",
    "TLSV1_ALERT_DECRYPT_ERROR",
    "SSLV3_ALERT_BAD_RECORD_MAC",
    "SSLV3_ALERT_ILLEGAL_PARAMETER",
    "SSLV3_ALERT_DECRYPTION_FAILED",
}
_CERTIFICATE_SHOWN = "CERTIFICATE_VERIFY_FAILED"


def shaking_hands(error: OSError, to: str, identity: str) -> Problem:
    """Why the TLS handshake with `to` failed."""
    if isinstance(error, TimeoutError):
        text = f"{to} takes the connection and says nothing; is it a TLS port?"
        return Problem(Kind.TIMEOUT, text)
    if isinstance(error, NamelessError):
        reason: str | None = _CERTIFICATE_SHOWN
    else:
        reason = error.reason or "" if isinstance(error, ssl.SSLError) else None
    return _handshake(reason, str(error), to, identity)


def _handshake(reason: str | None, said: str, to: str, identity: str) -> Problem:
    """Why it failed, by OpenSSL's reason; None: the other side has gone."""
    if reason is None:
        text = (
            f"{to} hung up during the TLS handshake; a firewall that looks into TLS, a load "
            "balancer with nothing behind it, or too many connections there"
        )
        return Problem(Kind.CUT_OFF, text)
    if reason in _KEY_ALERTS:
        text = (
            f"{to} does not take the key of {identity!r}: it is not known there, was revoked or "
            "replaced, or is a different key; ask for a new one"
        )
        return Problem(Kind.WRONG_KEY, text)
    if reason == _CERTIFICATE_SHOWN:
        text = (
            f"{to} shows a certificate instead of proving that it knows the key: it is not the "
            "gateway's key listener, or somebody is in between; nothing was sent"
        )
        return Problem(Kind.WRONG_HOST, text)
    if reason == "WRONG_VERSION_NUMBER":
        text = f"{to} does not speak TLS; is that the plain port 9002? Use the TLS port"
        return Problem(Kind.TLS, text)
    words = reason.lower().replace("_", " ") or said
    text = f"the TLS handshake with {to} failed ({words}); its log says why"
    return Problem(Kind.TLS, text)


#: As in "SSL_connect: FILE:LINE: error:0A000417:SSL routines::sslv3 alert illegal parameter".
_OPENSSL = re.compile(r"error:[0-9A-F]+:[^:]*:[^:]*:([^:]+)")
#: What a stunnel client says of a connection that is not made, looked for in this order.
_STUNNEL: tuple[tuple[str, OSError], ...] = (
    (r"Error resolving|Host not found|not known", socket.gaierror()),
    (r"Connection refused", ConnectionRefusedError()),
    (r"TIMEOUTconnect|timed out", TimeoutError()),
    (r"No route to host|Network is unreachable", OSError(errno.EHOSTUNREACH, "no route to host")),
)


def of_stunnel(said: str, to: str, identity: str) -> Problem:
    """What a stunnel client's words of an error mean."""
    if re.search("disconnected|reset by peer|Connection closed|unexpected eof", said):
        return _handshake(None, said, to, identity)
    if (match := _OPENSSL.search(said)) is not None:
        return _handshake(match[1].strip().upper().replace(" ", "_"), said, to, identity)
    for pattern, error in _STUNNEL:
        if re.search(pattern, said):
            return connecting(error, to)
    if "TIMEOUTbusy" in said:
        return shaking_hands(TimeoutError(), to, identity)
    return Problem(Kind.OTHER, f"stunnel has trouble with {to}: {said}")


#: What ssh says on stderr, looked for in this order; {to} is filled in.
_SSH = (
    (
        r"administratively prohibited",
        Kind.FORBIDDEN,
        "{to} lets nobody through to that gateway address; check --gateway against what the jump "
        "server allows (permitOpen)",
    ),
    (
        r"open failed",
        Kind.NO_ANSWER,
        "{to} lets us in, but does not reach the gateway: it is down, or --gateway is wrong",
    ),
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed",
        Kind.WRONG_HOST,
        "{to} is not the server whose host key is known here: its keys were replaced, or somebody "
        "is in between; get its host keys from whoever runs it (--known-hosts), nothing was sent",
    ),
    (
        r"Permission denied \(",
        Kind.WRONG_KEY,
        "{to} does not take the SSH key: it is not authorized there (elastron access authorize), "
        "or the login name is wrong",
    ),
    (
        r"Could not resolve hostname",
        Kind.DNS,
        "there is no host of the name in {to}; check the name, and DNS on this machine",
    ),
    (
        r"Connection refused",
        Kind.REFUSED,
        "{to} refuses the connection: no SSH server on that port, or a firewall says no",
    ),
    (
        r"timed out|Timeout, server",
        Kind.TIMEOUT,
        "{to} does not answer: a firewall on the way drops it, or the address is wrong; outgoing "
        "TCP to that port must be allowed",
    ),
    (
        r"(Address already in use|cannot listen to port|Could not request local forwarding)",
        Kind.LOCAL_PORT,
        "something else on this machine listens at the tunnel's own address; choose another: "
        "--listen",
    ),
    (
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        Kind.WRONG_KEY,
        "ssh does not use a private key that others can read; take their rights away: "
        "chmod 600 FILE",
    ),
    (
        r"No such identity|Load key .*: |not accessible",
        Kind.WRONG_KEY,
        "the private key's file cannot be read",
    ),
    (
        r"No route to host|Network is unreachable",
        Kind.UNREACHABLE,
        "there is no way to {to} from this network",
    ),
    (
        r"kex_exchange_identification|Connection closed|Connection reset|closed by remote host",
        Kind.CUT_OFF,
        "{to} hung up; is it an SSH server, and is it up?",
    ),
)


def of_ssh(said: str, to: str) -> Problem:
    """What ssh's own words mean."""
    for pattern, kind, text in _SSH:
        if re.search(pattern, said):
            return Problem(kind, text.format(to=to))
    last = said.strip().splitlines()[-1:] or ["it said nothing"]
    return Problem(Kind.OTHER, f"ssh ended: {last[0]}")
