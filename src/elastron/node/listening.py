"""Listening sockets."""

from __future__ import annotations

import socket

from elastron.errors import ElastronError
from elastron.node.settings import Address

_BACKLOG = 1024


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
