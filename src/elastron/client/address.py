"""Where a server is."""

from __future__ import annotations

from typing import NamedTuple

#: The Gadgetron's port.
DEFAULT_PORT = 9002


class Address(NamedTuple):
    """A host and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """Read `host`, `host:port`, `[v6]:port` or a bare IPv6 address.

    Raises:
        ValueError: no host, or a port that is no number from 1 to 65535.
    """
    if text.count(":") > 1 and not text.startswith("["):
        return Address(text, default_port)  # a bare IPv6 address
    host, _, port = text.removeprefix("[").replace("]", "").rpartition(":")
    if text.endswith("]") or ":" not in text:
        host, port = text.strip("[]"), str(default_port)
    if not host or not port.isdecimal() or not 0 < int(port) <= 0xFFFF:
        raise ValueError(f"{text!r} is not HOST:PORT, e.g. localhost:9002 or [::1]:9002")
    return Address(host, int(port))
