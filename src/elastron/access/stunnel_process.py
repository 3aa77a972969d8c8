"""stunnel as a child of ours, listening where we do, its words heard line by line."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elastron.errors import ElastronError

_START_S = 30.0
_STOP_S = 5.0

#: stunnel's own words: time, level (3 error, 4 warning, 5 notice), connection or `ui`, text.
_LINE = re.compile(r"[0-9. :]+ LOG([0-7])\[(\w+)\]: (.*)")
_READS = "Reading configuration from"
_SERVES = "Configuration successful"
_NOTICE = 5
#: It would like certificates; keys do without.
_EXPECTED = "No trusted certificates found"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing stunnel said.

    Attributes:
        level: as syslog counts: 3 is an error, 4 a warning, 5 a notice, 6 information.
        connection: number of a connection; "" where it speaks of itself.
        text: the words.
    """

    level: int
    connection: str
    text: str


def stunnel_program() -> str | None:
    """Where stunnel is, if it is installed."""
    return shutil.which("stunnel4") or shutil.which("stunnel")


class StunnelProcess:
    """One run of stunnel.

    Args:
        conf: its configuration; one service, in the foreground, logging to stderr.
        listener: where it accepts, whatever the configuration says.
        on_line: told what it says.

    Attributes:
        readings: how often it has read its configuration.
        complaint: what it last complained of itself.
        ended: done when it has ended.
    """

    def __init__(
        self, conf: Path, listener: socket.socket, on_line: Callable[[Line], None]
    ) -> None:
        self.readings = 0
        self.complaint = ""
        self.ended: asyncio.Task[None] = asyncio.create_task(self._run())
        self._conf = conf
        self._listener = listener
        self._on_line = on_line
        self._serves = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, once there is one."""
        return None if self._process is None else self._process.pid

    async def serving(self) -> bool:
        """Wait until it has read its configuration; False if it has ended instead."""
        serves = asyncio.create_task(self._serves.wait())
        await asyncio.wait(
            {serves, self.ended}, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED
        )
        serves.cancel()
        return self._serves.is_set() and not self.ended.done()

    def reload(self) -> None:
        """Have it read its configuration again; `readings` tells whether it was ready for that."""
        self._signal(signal.SIGHUP)

    async def stop(self) -> None:
        """End it, and what runs through it."""
        self._signal(signal.SIGTERM)
        await asyncio.wait({self.ended}, timeout=_STOP_S)
        self._signal(signal.SIGKILL)
        await asyncio.gather(self.ended, return_exceptions=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> None:
        program = stunnel_program()
        if program is None:
            raise ElastronError(
                "There is no stunnel here; install it (Debian, Ubuntu: apt install stunnel4)."
            )
        descriptor = self._listener.fileno()
        activation = [sys.executable, "-m", "elastron.access.activation", str(descriptor)]
        self._process = process = await asyncio.create_subprocess_exec(
            *activation,
            program,
            str(self._conf),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,),
        )
        assert process.stderr is not None  # noqa: S101 - asked for
        try:
            while line := await process.stderr.readline():
                self._hear(line.decode(errors="replace").strip())
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()

    def _hear(self, words: str) -> None:
        match = _LINE.fullmatch(words)
        if match is None:
            line = Line(_NOTICE, "", words)
        else:
            level, connection, text = match.groups()
            line = Line(int(level), "" if connection in ("ui", "main") else connection, text)
        self.readings += line.text.startswith(_READS)
        if line.text == _SERVES:
            self._serves.set()
        elif line.text != _EXPECTED and (line.connection or line.level < _NOTICE):
            if not line.connection:
                self.complaint = line.text
            self._on_line(line)
