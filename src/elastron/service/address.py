"""Where a server listens."""

from __future__ import annotations

import ipaddress
from typing import Annotated, NamedTuple

from pydantic import AfterValidator


class Address(NamedTuple):
    """Host and port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port` or `[v6]:port`; an empty host means every interface.

        Raises:
            ValueError: no port, or one outside 0 … 65535 (0: any free one).
        """
        host, separator, port = text.rpartition(":")
        if not separator or not port.isdecimal() or int(port) > 0xFFFF:
            raise ValueError(f"{text!r} is not HOST:PORT, e.g. 127.0.0.1:9002 or [::1]:9002")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def loopback(self) -> bool:
        """Only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _checked_address(text: str) -> str:
    Address.parse(text)
    return text


#: A setting that is an address.
AddressText = Annotated[str, AfterValidator(_checked_address)]
