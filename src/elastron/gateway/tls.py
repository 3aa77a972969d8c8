"""TLS listeners: who may speak to the gateway from outside, and as whom.

A listener authenticates its clients either by pre-shared keys (TLS-PSK, the `stunnel.secrets` file
of a stunnel server) or by certificates (mutual TLS). The identity becomes the session's tenant.

Half-open handshakes cost a socket and a few hundred bytes: a context is made when the first byte
has come, they have a time-out, and when there are too many the oldest makes room for the newest.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from elastron.errors import ConfigError, ElastronError
from elastron.gateway.tls_credentials import Claim, Credentials, files, load
from elastron.gateway.tls_failures import explain
from elastron.gateway.tls_settings import TlsPeer, TlsSettings
from elastron.service.tls_connection import RECEIVE_BYTES, TlsConnection
from elastron.service.tls_transport import TlsTransport

__all__ = ["Tls", "TlsPeer", "TlsSettings"]

_P = TypeVar("_P", bound=asyncio.BaseProtocol)

#: Failed handshakes that get a line in the log, within `_LOG_WINDOW_S`; a port scan must not fill
#: the disk. All are counted.
_LOG_LINES_MAX = 50
_LOG_WINDOW_S = 10.0
#: Of an identity in the log; it may be anything, as the client is not who it says it is.
_LOG_IDENTITY_MAX = 64


class Tls:
    """Keys and certificates of one listener, and its handshakes.

    Attributes:
        outcomes: how often handshakes ended how; the names are in `tls_failures.OUTCOMES`.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self.outcomes: collections.Counter[str] = collections.Counter()
        self._log = structlog.get_logger().bind(tls=settings.listen)
        self._credentials: Credentials | None = None
        self._applied: tuple[object, ...] = ()
        self._watching: asyncio.Task[None] | None = None
        self._shaking: dict[TlsConnection, None] = {}  # oldest first
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._logged, self._unlogged, self._window = 0, 0, 0.0

    @property
    def shaking(self) -> int:
        """Handshakes under way."""
        return len(self._shaking)

    # --- keys -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read the files and begin to watch them.

        Raises:
            ElastronError: a file is missing or wrong, or this Python has no TLS-PSK.
        """
        self._applied = self._fingerprint()
        self._credentials = load(self.settings)
        self._warn_of_readers()
        if self.settings.certificate is not None and self.settings.client_ca is None:
            self._log.warning(
                "any client is let in: without client_ca TLS hides what is said, not who says it"
            )
        self._log.info("keys read", **self._credentials.describe())
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Stop watching; end handshakes under way."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        self.abandon()

    def abandon(self) -> None:
        """End the handshakes under way."""
        for connection in list(self._shaking):
            connection.abort("the gateway goes down")

    def reload(self) -> bool:
        """Read the files again (SIGHUP). Bad files are logged, and the old keys stay.

        Returns:
            Whether the new ones are in force.
        """
        self._applied = self._fingerprint()
        try:
            # The last key may have been revoked: then nobody comes in.
            self._credentials = load(self.settings, empty_ok=True)
        except ElastronError as error:
            self._log.error("the old keys stay, as the new ones cannot be used", reason=str(error))
            return False
        self._warn_of_readers()
        self._log.info("keys read again", **self._credentials.describe())
        return True

    async def _watch(self) -> None:
        seen = self._applied
        while True:
            await asyncio.sleep(self.settings.reload_interval_s)
            now = self._fingerprint()
            if now == seen and now != self._applied:
                self.reload()
            seen = now

    def _fingerprint(self) -> tuple[object, ...]:
        """Changes when a file does; follows links, as Kubernetes swaps a mounted secret's."""
        return tuple(_status(path) for path in files(self.settings))

    def _warn_of_readers(self) -> None:
        secret = self.settings.psk_file or self.settings.private_key or self.settings.certificate
        if secret is not None and secret.stat().st_mode & 0o007:
            self._log.warning("every user of this machine can read the keys", file=str(secret))

    # --- handshakes -----------------------------------------------------------------------------

    async def accept(
        self, sock: socket.socket, peer: str, factory: Callable[[], _P]
    ) -> tuple[TlsTransport, _P, TlsPeer] | None:
        """Shake hands on an accepted, non-blocking socket.

        A failure is logged with the peer and the reason, never with a key.

        Args:
            peer: `host:port`, for the log.
            factory: makes the protocol that gets the plain bytes, as
                `loop.connect_accepted_socket` wants it (a BufferedProtocol is filled in place).

        Returns:
            Transport, protocol and the other end, which the transport's
            `get_extra_info("tls_peer")` tells as well; None, and the socket closed, if it failed.
        """
        claim = Claim()
        credentials = self._credentials
        if credentials is None:
            raise ConfigError("the TLS listener has not been started")
        connection = TlsConnection(
            lambda: credentials.context(claim),
            factory,
            self._buffer,
            lambda tls: credentials.identify(tls, claim),
        )
        self._make_room()
        self._shaking[connection] = None
        try:
            async with asyncio.timeout(self.settings.handshake_timeout_s):
                await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock)
                transport = await connection.shaken
        except TimeoutError:
            words = "no end of the handshake" if connection.spoke else "no byte"
            words = f"{words} within {self.settings.handshake_timeout_s:g} s"
            connection.abort(words)
            self._failed("timeout", words, peer, claim, silent=not connection.spoke)
            return None
        except OSError as error:
            self._failed(*explain(error, claim), peer, claim, silent=not connection.spoke)
            return None
        except BaseException:
            connection.abort("the gateway goes down")
            raise
        finally:
            self._shaking.pop(connection, None)
        self.outcomes["ok"] += 1
        known: TlsPeer = transport.get_extra_info("tls_peer")
        self._log.info("came in by TLS", peer=peer, identity=known.identity, version=known.version)
        return transport, transport.get_protocol(), known

    def _make_room(self) -> None:
        if len(self._shaking) >= self.settings.handshakes_max:
            silent = (connection for connection in self._shaking if not connection.spoke)
            oldest = next(silent, None) or next(iter(self._shaking))
            del self._shaking[oldest]  # here, as its task ends only later
            oldest.abort(f"{self.settings.handshakes_max} handshakes at once; the oldest made room")

    def _failed(self, outcome: str, words: str, peer: str, claim: Claim, *, silent: bool) -> None:
        self.outcomes[outcome] += 1
        if outcome == "left" and silent:  # a load balancer looking whether we live
            self._log.debug("connected and left without a word", peer=peer)
            return
        now = time.monotonic()
        if now - self._window > _LOG_WINDOW_S:
            if self._unlogged:
                self._log.warning("more handshakes failed", count=self._unlogged)
            self._window, self._logged, self._unlogged = now, 0, 0
        if self._logged >= _LOG_LINES_MAX:
            self._unlogged += 1
            return
        self._logged += 1
        said: dict[str, Any] = {"peer": peer, "reason": words}
        if claim.identity is not None:
            said["identity"] = claim.identity[:_LOG_IDENTITY_MAX]
        self._log.warning("handshake failed", outcome=outcome, **said)


def _status(path: Path) -> tuple[int, int, int] | None:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None
