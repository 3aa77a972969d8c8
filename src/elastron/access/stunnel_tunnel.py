"""A tunnel with a pre-shared key for a Python without TLS-PSK: stunnel carries it."""

from __future__ import annotations

import math
import socket
import ssl
import tempfile
from pathlib import Path

from elastron.access.client_package import client_conf, no_certificate
from elastron.access.files import write_secret
from elastron.access.problems import Kind, Problem, of_stunnel
from elastron.access.psk_tunnel import PSK_NEEDS, PskTunnel, PskTunnelSettings
from elastron.access.stunnel_process import Line, StunnelProcess, stunnel_program
from elastron.access.tunnel import Tunnel
from elastron.errors import ElastronError
from elastron.service.address import Address
from elastron.service.listening import listen
from elastron.service.psk import render_keys

_ERROR = 3
#: Of the handshake; no error to stunnel.
_TIMEOUT = "TIMEOUTbusy"
#: Of the package's configuration, which leaves for the background and logs to a file.
_NOT_OURS = ("output", "debug")
_HEAD = """\
foreground = yes
pid =
syslog = no
debug = info
"""


def key_tunnel(settings: PskTunnelSettings) -> Tunnel:
    """A tunnel with a pre-shared key, by this process or else by stunnel.

    Raises:
        ElastronError: neither this Python nor a stunnel has TLS-PSK.
    """
    return PskTunnel(settings) if getattr(ssl, "HAS_PSK", False) else StunnelTunnel(settings)


class StunnelTunnel:
    """Keeps a stunnel client running, with the configuration of a site's package.

    Attributes:
        address: where clients here connect to.
        problem: of the last connection; None: it was well.
    """

    def __init__(self, settings: PskTunnelSettings) -> None:
        if stunnel_program() is None:
            raise ElastronError(PSK_NEEDS)
        self.address = settings.listen
        self.problem: Problem | None = None
        self._settings = settings
        self._to = str(settings.to)
        self._open: set[str] = set()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._socket: socket.socket | None = None
        self._process: StunnelProcess | None = None

    @property
    def busy(self) -> int:
        """Connections through it now."""
        return len(self._open)

    async def start(self) -> None:
        """Listen.

        Raises:
            ElastronError: the address is taken, or stunnel does not start.
        """
        sock, self.address = listen(self._settings.listen)
        self._socket = sock
        sock.setblocking(True)  # as stunnel would make it
        # Of this user alone (mode 0700), as stunnel reads its key from a file.
        self._folder = tempfile.TemporaryDirectory(prefix="elastron-tunnel-")
        folder = Path(self._folder.name)
        secret = folder / "stunnel.secrets"
        write_secret(secret, render_keys([self._settings.key]))
        (folder / "no-certificate.pem").write_text(no_certificate())
        text = client_conf(connect=self._to, accept=str(Address("127.0.0.1", self.address.port)))
        timeout_s = math.ceil(self._settings.connect_timeout_s)
        ours = {
            "PSKsecrets": secret,
            "CAfile": folder / "no-certificate.pem",
            "TIMEOUTconnect": timeout_s,
            "TIMEOUTbusy": timeout_s,
        }
        replaced = (*_NOT_OURS, *ours)
        lines = [line for line in text.splitlines() if line.partition(" =")[0] not in replaced]
        lines += [f"{name} = {value}" for name, value in ours.items()]
        conf = folder / "stunnel.conf"
        conf.write_text(_HEAD + "".join(f"{line}\n" for line in lines))
        self._process = StunnelProcess(conf, sock, self._hear)
        if not await self._process.serving():
            await self._process.ended
            raise ElastronError(f"stunnel does not start: {self._process.complaint}")

    async def stop(self) -> None:
        """End it, and what runs through it."""
        if self._process is not None:
            await self._process.stop()
        if self._socket is not None:
            self._socket.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _hear(self, line: Line) -> None:
        if "accepted connection" in line.text:
            self._open.add(line.connection)
        elif line.text.startswith("Connection "):  # closed, reset
            self._open.discard(line.connection)
        elif line.text.startswith("TLS connected"):
            self.problem = None
        elif line.connection and (line.level <= _ERROR or _TIMEOUT in line.text):
            found = of_stunnel(line.text, self._to, self._settings.key.identity)
            # What follows from a trouble says less than the trouble itself.
            if found.kind is not Kind.OTHER or self.problem is None:
                self.problem = found
