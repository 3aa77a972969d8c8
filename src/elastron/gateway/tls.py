"""TLS listeners: who may speak to the gateway from outside, and as whom.

A listener authenticates its clients either by pre-shared keys (TLS-PSK, the `stunnel.secrets` file
of a stunnel server) or by certificates (mutual TLS). The identity becomes the session's tenant.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


class TlsSettings(BaseModel):
    """One TLS listener."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field(description="HOST:PORT for TLS; `:9002` is every interface.")
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
        description="Certificates (PEM) that sign the clients' certificates. None: any client is "
        "let in, so something else must guard the port.",
    )
    version_min: Literal["1.2", "1.3"] = Field(
        "1.2",
        description="Oldest TLS version. 1.2 because locked-down scanner hosts have old stunnels; "
        "only ciphers with forward secrecy and AEAD are taken of it, and PSK ones.",
    )
    handshake_timeout_s: float = Field(
        10, gt=0, description="From connecting to the end of the handshake; a slow line needs one."
    )
    handshakes_max: int = Field(
        1024,
        ge=1,
        description="Handshakes at once. Above it the oldest that has not spoken makes room.",
    )
    reload_interval_s: float = Field(
        1, gt=0, description="How often the files are looked at for a change."
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


class Tls:
    """Keys and certificates of one listener, and its handshakes."""

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings

    async def start(self) -> None:
        """Read the files and begin to watch them.

        Raises:
            ElastronError: a file is missing or wrong, or this Python has no TLS-PSK.
        """
        raise NotImplementedError

    async def stop(self) -> None:
        """Stop watching; end handshakes under way."""
        raise NotImplementedError

    def reload(self) -> bool:
        """Read the files again (SIGHUP). Bad files are logged, and the old keys stay.

        Returns:
            Whether the new ones are in force.
        """
        raise NotImplementedError

    async def accept(
        self, sock: socket.socket, peer: str, factory: Callable[[], _P]
    ) -> tuple[asyncio.Transport, _P, TlsPeer] | None:
        """Shake hands on an accepted, non-blocking socket.

        A failure is logged with the peer and the reason, never with a key.

        Args:
            peer: `host:port`, for the log.
            factory: makes the protocol that gets the plain bytes, as
                `loop.connect_accepted_socket` wants it (a BufferedProtocol is filled in place).

        Returns:
            Transport, protocol and the other end; None, and the socket closed, if it failed.
        """
        raise NotImplementedError
