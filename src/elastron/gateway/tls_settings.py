"""What a TLS listener is told, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elastron.service.address import AddressText


class TlsSettings(BaseModel):
    """One TLS listener."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: AddressText = Field(description="HOST:PORT for TLS; `:9002` is every interface.")
    psk_file: Path | None = Field(
        None,
        description="Pre-shared keys, lines of `identity:key` as stunnel reads them "
        "(`stunnel.secrets`). Needs Python 3.13 or newer.",
    )
    certificate: Path | None = Field(
        None, description="Certificate chain of the gateway, PEM; instead of pre-shared keys."
    )
    private_key: Path | None = Field(
        None, description="Key of the certificate, PEM. None: it is in the certificate's file."
    )
    client_ca: Path | None = Field(
        None,
        description="Certificates (PEM) that sign the clients' certificates, and lists of revoked "
        "ones if there are any. None: any client is let in, so something else must guard the port.",
    )
    version_min: Literal["1.2", "1.3"] = Field(
        "1.2",
        description="Oldest TLS version. 1.2 because locked-down scanner hosts have old stunnels.",
    )
    ciphers: str | None = Field(
        None,
        description="Ciphers of TLS 1.2, in OpenSSL's words. None: those with forward secrecy and "
        "authenticated encryption. TLS 1.3 has no others and is not affected.",
    )
    handshake_timeout_s: float = Field(
        10, gt=0, description="From connecting to the end of the handshake; a slow line needs one."
    )
    handshakes_max: int = Field(
        1024,
        ge=1,
        description="Handshakes at once. Above it the oldest makes room, a silent one first.",
    )
    reload_interval_s: float = Field(
        1,
        gt=0,
        description="How often the files are looked at for a change; one is taken up when it has "
        "been still for as long, so that no half-written file is.",
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.psk_file is None) == (self.certificate is None):
            raise ValueError(
                "a TLS listener has either psk_file or certificate; for both, make two listeners"
            )
        if self.certificate is None and (self.private_key or self.client_ca):
            raise ValueError("private_key and client_ca go with certificate")
        return self


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """Who is at the other end of a connection."""

    identity: str  # of the key, or the certificate's name; empty for an unknown client
    tenant: str  # the identity without its rotation suffix; empty likewise
    version: str  # e.g. "TLSv1.3"
    cipher: str
