"""Listening sockets, and what is set on accepted ones."""

from __future__ import annotations

import contextlib
import socket

from elastron.errors import ElastronError
from elastron.service.address import Address

_BACKLOG = 1024
# A vanished client is noticed after 60 + 4 x 15 s; below the 4 minutes after which some cloud load
# balancers forget a silent connection.
_KEEPALIVE_IDLE_S = 60
_KEEPALIVE_INTERVAL_S = 15
_KEEPALIVE_PROBES = 4


def listen(address: Address) -> tuple[socket.socket, Address]:
    """Listen on `address`; an empty host means every interface, IPv6 and IPv4.

    Returns:
        The socket, and the address with the port that was given.

    Raises:
        ElastronError: it is taken, or not ours.
    """
    everywhere = not address.host
    v6 = ":" in address.host or (everywhere and socket.has_dualstack_ipv6())
    try:
        sock = socket.create_server(
            (address.host, address.port),
            family=socket.AF_INET6 if v6 else socket.AF_INET,
            backlog=_BACKLOG,
            dualstack_ipv6=everywhere and v6,
        )
    except (OSError, OverflowError) as error:
        raise ElastronError(
            f"cannot listen on {address}: {getattr(error, 'strerror', None) or error}; "
            "stop what listens there, or choose another HOST:PORT"
        ) from error
    sock.setblocking(False)
    return sock, Address(address.host, sock.getsockname()[1])


def peer_name(address: tuple) -> str:
    """`host:port` of a peer; IPv4 in IPv6 clothes is shown plainly."""
    host, port = str(address[0]).removeprefix("::ffff:"), int(address[1])
    return str(Address(host, port))


def tune(sock: socket.socket) -> None:
    """No delay for small messages; notice a vanished client while the line is silent.

    Buffer sizes are left to the kernel: setting them would switch its automatic sizing off.
    """
    with contextlib.suppress(OSError):  # the client may be gone already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):  # not on macOS
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
