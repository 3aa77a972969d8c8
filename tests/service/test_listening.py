from __future__ import annotations

import socket

import pytest

from elastron.errors import ElastronError
from elastron.service.address import Address
from elastron.service.listening import listen, peer_name, tune


def test_a_free_port_is_told() -> None:
    sock, address = listen(Address("127.0.0.1", 0))
    with sock:
        assert address.port == sock.getsockname()[1] != 0
        socket.create_connection((address.host, address.port)).close()


def test_everywhere_means_both_protocols() -> None:
    sock, address = listen(Address("", 0))
    with sock:
        socket.create_connection(("127.0.0.1", address.port)).close()
        if socket.has_dualstack_ipv6():
            socket.create_connection(("::1", address.port)).close()


def test_a_port_in_use() -> None:
    sock, address = listen(Address("127.0.0.1", 0))
    with sock, pytest.raises(ElastronError, match=f"cannot listen on 127.0.0.1:{address.port}"):
        listen(address)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_somebody_else(host: str) -> None:
    with pytest.raises(ElastronError, match="choose another"):
        listen(Address(host, 0))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (("127.0.0.1", 5), "127.0.0.1:5"),
        (("::ffff:10.0.0.1", 5, 0, 0), "10.0.0.1:5"),
        (("fe80::1", 5, 0, 0), "[fe80::1]:5"),
    ],
)
def test_peer_name(address: tuple, name: str) -> None:
    assert peer_name(address) == name


def test_options() -> None:
    with socket.socket() as sock:
        tune(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
