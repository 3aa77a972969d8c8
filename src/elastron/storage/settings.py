"""Settings of the storage server, and the original server's names for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr

from elastron.errors import ConfigError

ORIGINAL_PREFIX = "MRD_STORAGE_SERVER_"

ORIGINAL_NAMES = {
    "DATABASE_PROVIDER": "database_provider",
    "DATABASE_CONNECTION_STRING": "database",
    "DATABASE_PASSWORD": "database_password",
    "STORAGE_PROVIDER": "blobs_provider",
    "STORAGE_CONNECTION_STRING": "blobs",
    "PORT": "port",
    "LOG_REQUESTS": "log_requests",
}
"""The original's variables, without their prefix, and the settings that they are here."""


class StorageSettings(BaseModel):
    """What the storage server is told at its start."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(
        "127.0.0.1", description="Address to listen on; empty: every one, IPv6 and IPv4."
    )
    port: int = Field(3333, ge=0, le=65535, description="Port; 0 takes a free one.")
    database: str = Field(
        "_data/metadata.db", description="SQLite file, postgresql:// URL, or libpq keywords."
    )
    database_provider: Literal["sqlite", "postgresql"] | None = Field(
        None, description="Absent: PostgreSQL for a postgresql:// URL, else SQLite."
    )
    database_password: SecretStr | None = Field(
        None, description="PostgreSQL password, apart from the connection string."
    )
    blobs: str = Field(
        "_data/blobs",
        description="Folder, s3:// URL, azure:// URL or Azure connection string.",
        repr=False,
    )
    blobs_provider: Literal["filesystem", "azureblob", "s3"] | None = Field(
        None, description="Absent: told from `blobs`."
    )
    token: SecretStr | None = Field(
        None, description="Bearer token that every request but /healthcheck must carry; one a line."
    )
    token_file: Path | None = Field(None, description="File that holds `token`.")
    tls_certificate: Path | None = Field(None, description="PEM file: serve HTTPS with it.")
    tls_key: Path | None = Field(None, description="PEM file of the certificate's key.")
    tls_client_ca: Path | None = Field(
        None, description="PEM file: clients must show a certificate of these authorities."
    )
    allow_insecure: bool = Field(
        False,
        description="Listen beyond loopback without token or client certificates, "
        "because a network policy or a proxy guards the port.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Networks whose X-Forwarded-Proto and X-Forwarded-Host are believed."
    )
    blob_bytes_max: ByteSize | None = Field(None, description="Largest blob; absent: any size.")
    subject_bytes_max: ByteSize | None = Field(
        None, description="Most bytes of one subject's blobs; absent: no quota."
    )
    uploads_max: int = Field(256, ge=1, description="Uploads at once; more get 503, retry later.")
    connections_max: int = Field(1024, ge=1, description="Connections at once; more get 503.")
    idle_timeout_s: float = Field(
        60.0, gt=0, description="Longest silence of a client in the middle of a request."
    )
    upload_bytes_per_s_min: int = Field(
        1024, ge=0, description="Slower uploads are refused after one idle timeout."
    )
    lease_s: float = Field(
        300.0, gt=0, description="An upload whose server fell silent for so long is an orphan."
    )
    garbage_interval_s: float = Field(300.0, gt=0, description="Pause between collections.")
    grace_s: int = Field(60, ge=0, description="Longest wait for running requests when stopping.")
    log_requests: bool = Field(True, description="One log line for each request.")
    require_parent_pid: int | None = Field(
        None, description="Stop when this process is no longer our parent."
    )

    @property
    def exposed(self) -> bool:
        """True where the port can be reached from other machines."""
        if self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return True

    def tokens(self) -> tuple[str, ...]:
        """Bearer tokens; any of them will do.

        Raises:
            ConfigError: the token's file cannot be read.
        """
        secret = self.token.get_secret_value() if self.token else ""
        if self.token_file is not None:
            secret += "\n" + _read_text(self.token_file, "token_file")
        return tuple(line.strip() for line in secret.splitlines() if line.strip())

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigError: an open port without any guard, or half a TLS configuration.
        """
        tokens = self.tokens()
        if (self.token or self.token_file) and not tokens:
            raise ConfigError("The storage server's token is empty. Write one, or leave it out.")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("TLS needs both tls_certificate and tls_key.")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ConfigError("tls_client_ca needs tls_certificate and tls_key.")
        guarded = tokens or self.tls_client_ca or self.allow_insecure
        if self.exposed and not guarded:
            raise ConfigError(
                f"The storage server holds patient data and would listen on {self.host} for "
                "anybody. Set a token or tls_client_ca, listen on 127.0.0.1, or set "
                "allow_insecure where a network policy or a proxy guards the port."
            )
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError as error:
                raise ConfigError(f"trusted_proxies: {network!r} is no network.") from error


def original_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Settings from the original server's variables, `MRD_STORAGE_SERVER_*`.

    Each may be given as `<NAME>_FILE` instead, the path of a file that holds the value; the plain
    variable wins.

    Raises:
        ConfigError: such a file cannot be read.
    """
    values: dict[str, str] = {}
    for name, setting in ORIGINAL_NAMES.items():
        text = _variable(environ, ORIGINAL_PREFIX + name)
        if text is not None:
            values[setting] = text.lower() if setting.endswith("_provider") else text
    return values


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    if name in environ:
        return environ[name]
    path = environ.get(f"{name}_FILE")
    if path is None:
        return None
    return _read_text(Path(path), f"{name}_FILE")


def _read_text(path: Path, name: str) -> str:
    try:
        # A file written with `echo` ends in a newline that is not meant.
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot read {path}.") from error
