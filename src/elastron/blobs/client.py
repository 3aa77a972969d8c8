"""Client of a storage server, ours or the original (storage API, section 13).

Blocking and thread-safe: gadgets run in threads. A forked process makes its own connections.
"""

from __future__ import annotations

import json
import logging
import os
import random
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx

from elastron.blobs.port import BlobKey
from elastron.errors import ConfigError, StorageError, StorageUnavailableError

BLOB_BYTES_MAX = 1 << 30
"""Largest blob that is read: a noise covariance of 128 channels has 128 KiB. The server could
be anybody's, so that what it sends is bounded."""

RETRIED_STATUS = frozenset((429, 500, 502, 503, 504))
"""Answers that another try may better; 507 (no room) and 4xx are final."""

_EXPLANATIONS = {
    401: "Give the server's token.",
    403: "The token does not allow this.",
    413: "The blob is larger than the server's limit.",
    507: "The server has no room left, or the subject's quota is used up.",
}

# httpx and httpcore log every URL, and ours hold patient IDs.
for _library in ("httpx", "httpcore"):
    logging.getLogger(_library).setLevel(logging.WARNING)


class HttpBlobStore:
    """`blobs.port.BlobStore` over HTTP.

    Args:
        base_url: e.g. `http://127.0.0.1:3333`.
        token: bearer token, where the server asks for one.
        ca_file: PEM file of the authorities that may have signed the server's certificate;
            None: the system's.
        certificate_file, key_file: PEM files, where the server asks for client certificates.
        timeout_s: longest silence of the server.
        attempts: tries before giving up.
        backoff_s: pause before the second try; it doubles from try to try, give or take a half.
        bytes_max: largest blob that is read.
        sleep: how to pause; tests replace it.

    Raises:
        ConfigError: the URL is none, or a certificate cannot be read.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        ca_file: str | Path | None = None,
        certificate_file: str | Path | None = None,
        key_file: str | Path | None = None,
        timeout_s: float = 30.0,
        attempts: int = 5,
        backoff_s: float = 0.2,
        bytes_max: int = BLOB_BYTES_MAX,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"{base_url!r} is no URL of a storage server, such as http://host:3333."
            )
        if attempts < 1:
            raise ConfigError("A storage client needs at least one attempt.")
        self._base_url = base_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._verify = _tls(parts.scheme, ca_file, certificate_file, key_file)
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._bytes_max = bytes_max
        self._sleep = sleep
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._client_pid = 0

    def latest(self, key: BlobKey) -> bytes | None:
        """The newest blob under `key`, or None.

        Raises:
            StorageUnavailableError: no answer after retries.
            StorageError: any other refusal.
        """
        url = f"{self._base_url}/v1/blobs/data/latest?{query_string(key)}"
        status, body = self._ask("GET", url, None, "reading")
        return None if status == 404 else body

    def store(self, key: BlobKey, data: bytes, *, ttl_s: int) -> None:
        """Store `data` durably under `key` for `ttl_s` seconds.

        A try whose answer got lost may have stored the blob already: there are two then, which
        is the same to every reader.

        Raises:
            StorageUnavailableError: no answer after retries.
            StorageError: any other refusal.
        """
        url = f"{self._base_url}/v1/blobs/data?{query_string(key)}&_ttl={ttl_s}s"
        self._ask("POST", url, data, "storing")

    def check(self) -> None:
        """Ask whether the server can serve.

        Raises:
            StorageUnavailableError: it cannot, or does not answer.
            StorageError: it is no storage server.
        """
        status, _ = self._ask("GET", f"{self._base_url}/healthcheck", None, "checking")
        if status != 200:
            raise StorageError(
                f"There is no storage server at {self._base_url}: its health check is missing."
            )

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _ask(self, method: str, url: str, data: bytes | None, doing: str) -> tuple[int, bytes]:
        problem = ""
        cause: Exception | None = None
        for attempt in range(self._attempts):
            if attempt:
                self._sleep(self._backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
            try:
                status, body = self._send(method, url, data)
            except (httpx.TransportError, OSError) as error:
                # The error's own text may hold no more than host names and error numbers.
                problem, cause = f"{type(error).__name__}: {error}".rstrip(": "), error
                continue
            if status not in RETRIED_STATUS:
                return self._checked(status, body, doing)
            problem, cause = f"HTTP {status}", None
        raise StorageUnavailableError(
            f"The storage server at {self._base_url} did not answer while {doing} a blob, in "
            f"{self._attempts} tries ({problem}). Is it running, and is the address right?"
        ) from cause

    def _checked(self, status: int, body: bytes, doing: str) -> tuple[int, bytes]:
        if status in (200, 201, 204) or (status == 404 and doing != "storing"):
            return status, body
        hint = _EXPLANATIONS.get(status, "")
        raise StorageError(
            f"The storage server at {self._base_url} refused {doing} a blob: HTTP {status} "
            f"{_error_code(body)}. {hint}".rstrip()
        )

    def _send(self, method: str, url: str, data: bytes | None) -> tuple[int, bytes]:
        headers = {"content-type": "application/octet-stream"} if data is not None else None
        with self._connections().stream(method, url, content=data, headers=headers) as answer:
            body = bytearray()
            for chunk in answer.iter_raw():
                body += chunk
                if len(body) > self._bytes_max:
                    raise StorageError(
                        f"The storage server at {self._base_url} sends a blob of more than "
                        f"{self._bytes_max} bytes, which is the limit."
                    )
            return answer.status_code, bytes(body)

    def _connections(self) -> httpx.Client:
        with self._lock:
            if self._client is None or self._client_pid != os.getpid():
                self._client = httpx.Client(
                    headers={"accept-encoding": "identity", **self._headers},
                    timeout=self._timeout_s,
                    verify=self._verify,
                    # The storage server is a neighbour, not a site behind the user's web proxy.
                    trust_env=False,
                )
                self._client_pid = os.getpid()
            return self._client


def query_string(key: BlobKey) -> str:
    """A key as search or create parameters, in the Gadgetron's order."""
    pairs = [
        ("subject", key.subject),
        ("device", key.device),
        ("session", key.session),
        ("name", key.name),
        *key.tags.items(),
    ]
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, value in pairs
        if value is not None
    )


def _error_code(body: bytes) -> str:
    # Only the word for programs: a foreign server's sentence may quote the tags.
    try:
        code = json.loads(body[:4096])["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f"({code[:64]})" if isinstance(code, str) and code.isalnum() else ""


def _tls(
    scheme: str,
    ca_file: str | Path | None,
    certificate_file: str | Path | None,
    key_file: str | Path | None,
) -> ssl.SSLContext | bool:
    if scheme == "http":
        return True
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate_file is not None:
            context.load_cert_chain(certificate_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("A certificate file for the storage server cannot be read.") from error
    return context
