"""The kernel's table of connections."""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.errors import ElastronError
from elastron.node.beside.connections import Connection, connections_to, parse_table
from elastron.service.address import Address

from ..harness import wait_for

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's table")

# Recorded in a pod: a listener, a client, a half-closed one, a scrape, one in TIME_WAIT, and a
# connection of the Gadgetron to another's port 9002.
RECORDED = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:232A 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001        0 1 1 0
   1: 0500F40A:232A 0700F40A:D431 01 00000000:00000000 00:00000000 00000000 10001        0 2 1 0
   2: 0500F40A:232A 0800F40A:D432 08 00000000:00000001 00:00000000 00000000 10001        0 3 1 0
   3: 0500F40A:2378 0900F40A:D433 01 00000000:00000000 00:00000000 00000000 10001        0 4 1 0
   4: 0500F40A:232A 0900F40A:D434 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   5: 0500F40A:D435 0600F40A:232A 01 00000000:00000000 00:00000000 00000000 10001        0 5 1 0
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="recorded on such a machine")
def test_a_recorded_table() -> None:
    ours = Address("10.244.0.5", 9002)
    assert list(parse_table(RECORDED, 9002)) == [
        Connection(ours, Address("10.244.0.7", 0xD431)),
        Connection(ours, Address("10.244.0.8", 0xD432)),
    ]


def _hex(address: str) -> str:
    data = ipaddress.ip_address(address).packed
    words = (data[at : at + 4] for at in range(0, len(data), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


@given(st.ip_addresses(), st.ip_addresses(), st.integers(1, 0xFFFF), st.integers(1, 0xFFFF))
def test_every_address(local: object, remote: object, port: int, remote_port: int) -> None:
    row = f"0: {_hex(str(local))}:{port:04X} {_hex(str(remote))}:{remote_port:04X} 01 0:0"
    (found,) = parse_table(f"head\n{row}\n", port)

    def plain(address: object) -> str:
        return str(getattr(address, "ipv4_mapped", None) or address)

    assert found == Connection(Address(plain(local), port), Address(plain(remote), remote_port))


@linux_only
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_kernels_own(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("no IPv6 here")
    with listener:
        port = listener.getsockname()[1]
        assert connections_to(port) == frozenset()
        with socket.create_connection((host, port)) as client:
            server, peer = listener.accept()
            with server:
                expected = Connection(Address(host, port), Address(*peer[:2]))
                # A table that changes as it is read may lack a row.
                wait_for(lambda: connections_to(port) == {expected}, what="the connection")
                client.shutdown(socket.SHUT_WR)  # it still reads
                assert server.recv(1) == b""
                wait_for(lambda: connections_to(port) == {expected}, what="the half-closed one")
        wait_for(lambda: connections_to(port) == frozenset(), what="none any more")


def test_without_a_table(tmp_path: Path) -> None:
    with pytest.raises(ElastronError, match="Linux"):
        connections_to(9002, tmp_path)
    (tmp_path / "tcp").write_text(RECORDED)  # IPv6 is switched off
    assert len(connections_to(9002, tmp_path)) == 2
