"""A stunnel server before a gateway whose Python has no TLS-PSK: same keys, same rules.

The listening socket is ours, and stunnel finds it open. Its own it would close at each change of
the keys, and refuse who connects at that moment; so clients wait a few milliseconds instead, after
a crash of stunnel as well. What stunnel does not know, when the overlap of a rotated key ends, we
keep for it: it reads a file of ours, with the keys that are good now.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import shutil
import signal
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from elastron.access.files import write_secret
from elastron.access.keyring import KeyFile, Keyring
from elastron.access.tunnel import FIRST_PAUSE_S, LONGEST_PAUSE_S
from elastron.errors import ConfigError, ElastronError
from elastron.service.address import Address
from elastron.service.listening import listen
from elastron.service.psk import render_keys, retiring_file

#: A run that lasted so long was a good one: the next start comes soon.
_GOOD_S = 60.0
_STOP_S = 5.0
_START_S = 30.0

#: stunnel's own words: time, level (3 error, 4 warning, 5 notice), connection or `ui`, text.
_LOG_LINE = re.compile(r"[0-9. :]+ LOG([0-7])\[(\w+)\]: (.*)")
_READS = "Reading configuration from"
_SERVES = "Configuration successful"
#: It would like certificates; keys do without.
_EXPECTED = "No trusted certificates found"

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


def stunnel_program() -> str | None:
    """Where stunnel is, if it is installed."""
    return shutil.which("stunnel4") or shutil.which("stunnel")


class StunnelServer:
    """Runs stunnel, again whenever it ends, with keys as they are now.

    Attributes:
        address: where it listens, with the port it was given.
        process: stunnel's, while it runs.
    """

    def __init__(self, settings: StunnelServerSettings) -> None:
        program = stunnel_program()
        if program is None:
            raise ElastronError(
                "There is no stunnel here; install it (Debian, Ubuntu: apt install stunnel4)."
            )
        self.settings = settings
        self.address = settings.listen
        self.process: asyncio.subprocess.Process | None = None
        self._program = program
        self._file = KeyFile(settings.keys)
        self._ring = Keyring()
        self._applied: object = None
        self._seen: object = None
        self._text = ""
        self._socket: socket.socket | None = None
        self._listening: asyncio.Task[None] | None = None  # to its words; done when it has ended
        self._readings = 0
        self._complaint = ""
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
        accept = f"{self.address.host or '::'}:{self.address.port}"
        conf = _CONF.format(keys=self._effective, listen=accept, connect=self.settings.connect)
        write_secret(self._conf, conf)
        await self._spawn()
        if not self._readings:
            raise ElastronError(f"stunnel does not start: {self._complaint or 'it says nothing'}")

    async def run(self) -> None:
        """Keep it running and its keys up to date, until cancelled."""
        loop = asyncio.get_running_loop()
        pause, began = FIRST_PAUSE_S, loop.time()
        told = -1  # readings of its configuration when the last change was told; -1: no change
        while True:
            assert self._listening is not None  # noqa: S101 - it was started
            await asyncio.wait({self._listening}, timeout=self.settings.reload_interval_s)
            if self._refresh():
                told = self._readings
            if not self._listening.done():
                if told == self._readings:  # not heard of yet
                    self._signal(signal.SIGHUP)
                continue
            pause = FIRST_PAUSE_S if loop.time() - began > _GOOD_S else pause
            self._log.error("stunnel ended", reason=self._complaint, next_start_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            began = loop.time()
            await self._spawn()
            told = -1

    async def stop(self) -> None:
        """End it, and what runs through it."""
        if self._listening is not None:
            self._signal(signal.SIGTERM)
            await asyncio.wait({self._listening}, timeout=_STOP_S)
            self._signal(signal.SIGKILL)
            await self._listening
        if self._socket is not None:
            self._socket.close()
        self._effective.unlink(missing_ok=True)

    # --- the process ----------------------------------------------------------------------------

    async def _spawn(self) -> None:
        """Start stunnel; return when it has read its configuration, or ended."""
        assert self._socket is not None  # noqa: S101 - it listens
        descriptor = self._socket.fileno()
        activation = [sys.executable, "-m", "elastron.access.activation", str(descriptor)]
        self._readings, self._complaint = 0, ""
        self.process = await asyncio.create_subprocess_exec(
            *activation,
            self._program,
            str(self._conf),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,),
        )
        serves = asyncio.Event()
        self._listening = asyncio.create_task(self._hear(self.process, serves))
        serving = asyncio.create_task(serves.wait())
        await asyncio.wait(
            {serving, self._listening}, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED
        )
        serving.cancel()

    async def _hear(self, process: asyncio.subprocess.Process, serves: asyncio.Event) -> None:
        """Put what it says into our log, until it has ended."""
        assert process.stderr is not None  # noqa: S101 - asked for
        while line := await process.stderr.readline():
            words = line.decode(errors="replace").strip()
            match = _LOG_LINE.fullmatch(words)
            level, connection, text = match.groups() if match else ("5", "ui", words)
            self._readings += text.startswith(_READS)
            if text == _SERVES:
                serves.set()
            elif text == _EXPECTED:
                continue
            elif connection != "ui" or level < "5":
                tell = self._log.warning if level < "5" else self._log.info
                tell(text, stunnel=connection)
            if connection == "ui" and level < "5":
                self._complaint = text
        await process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

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
