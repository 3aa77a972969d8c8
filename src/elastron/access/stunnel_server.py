"""A stunnel server before a gateway whose Python has no TLS-PSK: same keys, same rules.

The listening socket is ours, and stunnel finds it open. Its own it would close at each change of
the keys, and refuse who connects at that moment; so clients wait a few milliseconds instead, after
a crash of stunnel as well. What stunnel does not know, when the overlap of a rotated key ends, we
keep for it: it reads a file of ours, with the keys that are good now.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from elastron.access.files import write_secret
from elastron.access.keyring import KeyFile, Keyring
from elastron.access.stunnel_process import Line, StunnelProcess
from elastron.access.tunnel import FIRST_PAUSE_S, LONGEST_PAUSE_S
from elastron.errors import ConfigError, ElastronError
from elastron.service.address import Address
from elastron.service.listening import listen
from elastron.service.psk import render_keys, retiring_file

#: A run that lasted so long was a good one: the next start comes soon.
_GOOD_S = 60.0
_NOTICE = 5

#: TLS as the gateway's own listener takes it. No `cert`: with one, TLS 1.3 would let in whoever has
#: no key.
_CONF = """\
foreground = yes
pid =
syslog = no
debug = notice
sslVersionMin = TLSv1.2
ciphers = ECDHE-PSK-CHACHA20-POLY1305
ciphersuites = TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256
PSKsecrets = {keys}
socket = l:SO_KEEPALIVE=1
socket = l:TCP_KEEPIDLE=60
socket = l:TCP_KEEPINTVL=15
socket = l:TCP_KEEPCNT=4
socket = l:TCP_NODELAY=1
socket = r:SO_KEEPALIVE=1
socket = r:TCP_NODELAY=1
TIMEOUTbusy = 10
TIMEOUTclose = 0
TIMEOUTconnect = 10
TIMEOUTidle = 43200

[gadgetron]
accept = {listen}
connect = {connect}
"""


@dataclass(frozen=True, slots=True)
class StunnelServerSettings:
    """What a server is told.

    Attributes:
        listen: where clients connect; port 0 is a free one.
        connect: the gateway's address without TLS, on this machine.
        keys: `stunnel.secrets`, as the commands write it.
        folder: of this user alone, for what stunnel reads.
        reload_interval_s: how often the keys are looked at; a change is taken up when it has been
            still for as long.
    """

    listen: Address
    connect: Address
    keys: Path
    folder: Path
    reload_interval_s: float = 1.0


class StunnelServer:
    """Runs stunnel, again whenever it ends, with keys as they are now.

    Attributes:
        address: where it listens, with the port it was given.
        process: stunnel.
    """

    def __init__(self, settings: StunnelServerSettings) -> None:
        self.settings = settings
        self.address = settings.listen
        self.process: StunnelProcess | None = None
        self._file = KeyFile(settings.keys)
        self._ring = Keyring()
        self._applied: object = None
        self._seen: object = None
        self._text = ""
        self._socket: socket.socket | None = None
        self._conf = settings.folder / "stunnel.conf"
        self._effective = settings.folder / "stunnel.secrets"
        # Nobody's key, so that the file is never empty: stunnel would keep the last ones.
        self._nobody = f"nobody-{secrets.token_hex(8)}:{secrets.token_hex(32)}\n"
        self._log = structlog.get_logger()

    async def start(self) -> None:
        """Listen, and start stunnel; return when it serves.

        Raises:
            ElastronError: there is no key, the address is taken, or stunnel does not start.
        """
        self._applied = self._seen = self._fingerprint()
        self._ring = self._file.load()
        if not self._ring.keys:
            raise ConfigError(
                f"{self.settings.keys} has no key; make one: elastron access psk create"
            )
        self.settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._apply()
        self._socket, self.address = listen(self.settings.listen)
        self._socket.setblocking(True)  # as stunnel would make it
        # stunnel takes the last colon for the port's, and knows no brackets.
        accept = f"{self.address.host or '::'}:{self.address.port}"
        connect = f"{self.settings.connect.host}:{self.settings.connect.port}"
        conf = _CONF.format(keys=self._effective, listen=accept, connect=connect)
        write_secret(self._conf, conf)
        self.process = StunnelProcess(self._conf, self._socket, self._tell)
        if not await self.process.serving():
            await self.process.ended
            raise ElastronError(
                f"stunnel does not start: {self.process.complaint or 'it says nothing'}"
            )

    async def run(self) -> None:
        """Keep it running and its keys up to date, until cancelled."""
        loop = asyncio.get_running_loop()
        pause, began = FIRST_PAUSE_S, loop.time()
        told = -1  # readings of its configuration when the last change was told; -1: no change
        while True:
            assert self._socket is not None and self.process is not None  # noqa: S101 PT018
            await asyncio.wait({self.process.ended}, timeout=self.settings.reload_interval_s)
            if self._refresh():
                told = self.process.readings
            if not self.process.ended.done():
                if told == self.process.readings:  # not heard of yet
                    self.process.reload()
                continue
            pause = FIRST_PAUSE_S if loop.time() - began > _GOOD_S else pause
            self._log.error("stunnel ended", reason=self.process.complaint, next_start_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            began, told = loop.time(), -1
            self.process = StunnelProcess(self._conf, self._socket, self._tell)
            await self.process.serving()

    async def stop(self) -> None:
        """End it, and what runs through it."""
        if self.process is not None:
            await self.process.stop()
        if self._socket is not None:
            self._socket.close()
        self._effective.unlink(missing_ok=True)

    def _tell(self, line: Line) -> None:
        tell = self._log.warning if line.level < _NOTICE else self._log.info
        tell(line.text, stunnel=line.connection)

    # --- keys -----------------------------------------------------------------------------------

    def _refresh(self) -> bool:
        """Whether other keys are good than before."""
        now = self._fingerprint()
        if now == self._seen and now != self._applied:  # it has come to rest
            self._applied = now
            try:
                self._ring = self._file.load()
            except ElastronError as error:
                self._log.error(
                    "the old keys stay, as the new ones cannot be used", reason=str(error)
                )
        self._seen = now
        return self._apply()

    def _apply(self) -> bool:
        good, _ = self._ring.prune(datetime.now(UTC))
        text = render_keys(good.keys.values()) + self._nobody
        if text == self._text:
            return False
        try:
            write_secret(self._effective, text)
        except ConfigError as error:  # the disk is full; it is tried again
            self._log.error("stunnel is not told of changed keys", reason=str(error))
            return False
        self._text = text
        self._log.info("keys read", identities=len(good.keys), retiring=len(good.ends))
        return True

    def _fingerprint(self) -> tuple[object, ...]:
        found = []
        for path in (self.settings.keys, retiring_file(self.settings.keys)):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
                continue
            found.append(None)
        return tuple(found)
