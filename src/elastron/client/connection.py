"""Opening a connection, with patience."""

from __future__ import annotations

import contextlib
import socket
import time

from elastron.client.address import Address
from elastron.errors import ConnectError

#: First pause between two attempts; each further one is twice as long, up to the longest.
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0

#: A dead peer is noticed after about two minutes of silence instead of never.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


def connect(address: Address, timeout_s: float) -> socket.socket:
    """Connect, again and again until it succeeds or `timeout_s` have passed.

    Every address of the host is tried, IPv6 and IPv4. A server that is just starting, or a gateway
    that restarts, is so waited for.

    Raises:
        ConnectError: nobody answered in time, or there is no such host.
    """
    deadline = time.monotonic() + timeout_s
    pause = _FIRST_PAUSE_S
    while True:
        left = deadline - time.monotonic()
        try:
            sock = socket.create_connection(address, timeout=max(left, 0.01))
        except socket.gaierror as error:
            raise ConnectError(
                f"There is no host {address.host!r} ({error.strerror}). Check the name."
            ) from error
        except OSError as error:
            if deadline - time.monotonic() < pause:
                reason = "no answer" if isinstance(error, TimeoutError) else error.strerror
                raise ConnectError(
                    f"Nothing answers at {address} ({reason}, tried for {timeout_s:g} s). "
                    "Is the node running, and is the address right?"
                ) from error
        else:
            _prepare(sock)
            return sock
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def _prepare(sock: socket.socket) -> None:
    sock.settimeout(None)
    # Whole messages are written at once; the last one must not wait for an acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
