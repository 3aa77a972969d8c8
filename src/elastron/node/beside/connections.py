"""Who is connected to a port of this network namespace, as the kernel tells it.

The containers of a pod share the namespace, so these are the connections of the Gadgetron beside
us, whatever its log says: a process that crashed leaves no line, but no connection either.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from elastron.errors import ElastronError
from elastron.service.address import Address

#: ESTABLISHED, and CLOSE_WAIT: the client has sent its last byte and still reads.
_OPEN = frozenset({"01", "08"})
_TABLES = ("tcp", "tcp6")
_FOLDER = Path("/proc/net")


class Connection(NamedTuple):
    """Both ends of a TCP connection."""

    local: Address
    remote: Address


def connections_to(port: int, folder: Path = _FOLDER) -> frozenset[Connection]:
    """Connections to `port` over which something may still be sent to the client.

    Args:
        port: where a server of this namespace listens; connections that it opens itself have
            other ports at this end.
        folder: where the kernel's tables are.

    Raises:
        ElastronError: there are none: not Linux.
    """
    found: set[Connection] = set()
    tables = 0
    for name in _TABLES:
        try:
            text = (folder / name).read_text("ascii")
        except FileNotFoundError:  # IPv6 may be switched off
            continue
        tables += 1
        found.update(parse_table(text, port))
    if not tables:
        raise ElastronError(f"{folder}/tcp is missing; a sidecar runs on Linux, in a pod's network")
    return frozenset(found)


def parse_table(text: str, port: int) -> Iterator[Connection]:
    """Open connections to `port` in a table such as `/proc/net/tcp`.

    The format is that of the kernel's documentation, networking/proc_net_tcp.
    """
    suffix = f":{port:04X}"
    for line in text.splitlines()[1:]:
        # sl, local address, remote address, state, ...
        fields = line.split(maxsplit=4)
        if len(fields) > 3 and fields[3] in _OPEN and fields[1].endswith(suffix):
            yield Connection(_address(fields[1]), _address(fields[2]))


def _address(text: str) -> Address:
    # Each 32-bit word of the address is printed as a number of this machine; the port is one.
    host, _, port = text.partition(":")
    data = b"".join(
        int(host[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(host), 8)
    )
    ip = ipaddress.ip_address(data)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return Address(str(ip), int(port, 16))
