"""Clients that have connected and not spoken yet, and doors that are open to everybody."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from elastron.node import farewell
from elastron.node.metrics import NodeMetrics
from elastron.node.outcome import Outcome
from elastron.node.settings import NodeSettings
from elastron.service.address import Address
from elastron.wire.scan_mark import OPENING_BYTES


class Doorstep:
    """Where clients wait until they speak; a silent one holds no worker.

    Args:
        settings: of the node.
        metrics: of the node.
    """

    def __init__(self, settings: NodeSettings, metrics: NodeMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._silent: set[asyncio.Future[None]] = set()
        self._cleared = False

    def __len__(self) -> int:
        """Clients that wait."""
        return len(self._silent)

    def clear(self) -> None:
        """Let nobody wait any more: all are refused now."""
        self._cleared = True
        for came in self._silent:
            if not came.done():
                came.set_result(None)

    async def first_bytes(self, sock: socket.socket, log: Any, peer: str) -> bytes:
        """Wait until the client speaks.

        Returns:
            What it said first, left in the socket; nothing when it left, or was refused.
        """
        timeout_s = self._settings.handshake_timeout_s
        try:
            with contextlib.suppress(BlockingIOError):  # most clients speak at once
                if opening := sock.recv(OPENING_BYTES, socket.MSG_PEEK):
                    return opening
            await asyncio.wait_for(farewell.readable(sock, self._silent), timeout_s)
            if self._cleared:
                return b"?"  # whatever it is, it is refused
            if opening := sock.recv(OPENING_BYTES, socket.MSG_PEEK):
                return opening
            log.debug("connected and left without a word", peer=peer)
            self._metrics.sessions.labels("probe").inc()
        except TimeoutError:
            log.warning("client never spoke", peer=peer, seconds=timeout_s)
            self._metrics.sessions.labels(Outcome.TIMEOUT.value).inc()
            await farewell.refuse(
                sock, f"nothing received within {timeout_s:g} s of connecting", self._settings
            )
        except OSError as error:
            log.debug("connection lost before a first byte", peer=peer, reason=error.strerror)
            self._metrics.sessions.labels("probe").inc()
        return b""


def warn_of_open_doors(log: Any, **addresses: Address | None) -> None:
    """Say which servers can be reached from beyond this machine.

    Args:
        log: to say it in.
        addresses: what is served there, and where.
    """
    for name, address in addresses.items():
        if address is not None and not address.loopback:
            log.warning(
                f"listening for {name} beyond this machine, without encryption or password; "
                "keep the network closed",
                listen=str(address),
            )
