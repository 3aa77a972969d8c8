"""A tunnel through the SSH jump server: OpenSSH's client, started again whenever it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
from dataclasses import dataclass, replace
from pathlib import Path

from elastron.access.problems import Kind, Problem, of_ssh
from elastron.access.tunnel import FIRST_PAUSE_S, LONGEST_PAUSE_S
from elastron.errors import ElastronError
from elastron.service.address import Address

#: A connection that lasted so long was a good one: the next attempt comes soon.
_GOOD_S = 60.0
#: Of ssh's words, the last are kept.
_WORDS_MAX = 16 * 1024
#: How often is looked whether ssh listens already.
_LOOK_S = 0.1
_STOP_S = 5.0

_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:%-]*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class SshTunnelSettings:
    """What a tunnel is told.

    Attributes:
        listen: where clients here connect to; port 0 is a free one.
        to: HOST:PORT of the jump server.
        gateway: HOST:PORT of the gateway, as the jump server knows it.
        user: login name there; None: as in ssh's own configuration.
        identity_file: private key; None: ssh's own choice, an agent's keys among them.
        known_hosts: file with the jump server's host keys; None: the user's own.
        accept_new: take the host key of a server that is not known yet, and remember it. Whoever
            stands in between at that moment is believed.
        connect_timeout_s: to connect and log in.
        alive_s: a silent line is asked after so long; dead after three questions.
    """

    listen: Address
    to: Address
    gateway: Address
    user: str | None = None
    identity_file: Path | None = None
    known_hosts: Path | None = None
    accept_new: bool = False
    connect_timeout_s: int = 10
    alive_s: int = 30


def ssh_command(settings: SshTunnelSettings, program: str) -> list[str]:
    """The argument list for OpenSSH's client.

    Raises:
        ElastronError: a name that ssh would take for something else.
    """
    for pattern, name in ((_HOST, settings.to.host), (_HOST, settings.gateway.host)):
        if not pattern.fullmatch(name):
            raise ElastronError(f"{name!r} is no host's name.")
    if settings.user is not None and not _USER.fullmatch(settings.user):
        raise ElastronError(f"{settings.user!r} is no login name.")
    options = {
        "BatchMode": "yes",  # never asks: nobody is there
        "ExitOnForwardFailure": "yes",
        "ConnectTimeout": settings.connect_timeout_s,
        "ServerAliveInterval": settings.alive_s,
        "ServerAliveCountMax": 3,
        "StrictHostKeyChecking": "accept-new" if settings.accept_new else "yes",
        "LogLevel": "INFO",
    }
    if settings.known_hosts is not None:
        options["UserKnownHostsFile"] = _quoted(settings.known_hosts)
        options["GlobalKnownHostsFile"] = "none"
    command = [program, "-N", "-T", "-p", str(settings.to.port)]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    if settings.user is not None:
        command += ["-l", settings.user]
    if settings.identity_file is not None:
        command += ["-i", str(settings.identity_file), "-o", "IdentitiesOnly=yes"]
    command += ["-L", f"{settings.listen}:{settings.gateway}"]
    return [*command, "--", settings.to.host]


def _quoted(path: Path) -> str:
    """For an option's value, where ssh splits at blanks and replaces `%` and `~`."""
    text = str(path.absolute()).replace("%", "%%")
    if '"' in text:
        raise ElastronError(f"{path}: ssh takes no file with a quotation mark in its name.")
    return f'"{text}"'


class SshTunnel:
    """Keeps an ssh client running that forwards a local port.

    Attributes:
        address: where clients here connect to.
        problem: why ssh ended, or what it complained of since; None: nothing.
    """

    def __init__(self, settings: SshTunnelSettings) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise ElastronError(
                "There is no ssh here; install OpenSSH (openssh-client; on Windows the optional "
                "feature 'OpenSSH Client')."
            )
        if settings.listen.port == 0:
            settings = _with_free_port(settings)
        self.address = settings.listen
        self.problem: Problem | None = None
        self._command = ssh_command(settings, program)
        self._to = str(settings.to)
        self._patience_s = settings.connect_timeout_s + 5.0
        self._running: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    @property
    def busy(self) -> int:
        """Unknown: ssh does not tell."""
        return 0

    async def start(self) -> None:
        """Start ssh, and wait until it listens or has ended."""
        self._running = asyncio.create_task(self._run())
        ended = asyncio.create_task(self._ended.wait())
        try:
            async with asyncio.timeout(self._patience_s):
                while not ended.done() and not await self._listens():
                    await asyncio.wait({ended}, timeout=_LOOK_S)
        except TimeoutError:
            self.problem = self.problem or Problem(
                Kind.TIMEOUT, f"no SSH connection to {self._to} within {self._patience_s:g} s"
            )
        finally:
            ended.cancel()

    async def stop(self) -> None:
        """End it, and what runs through it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(*self.address)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_S
        while True:
            began = loop.time()
            await self._once()
            self._ended.set()
            pause = FIRST_PAUSE_S if loop.time() - began > _GOOD_S else pause
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _once(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},  # its words are read
        )
        said = b""
        assert process.stderr is not None  # noqa: S101 - asked for above
        try:
            while data := await process.stderr.read(4096):
                said = (said + data)[-_WORDS_MAX:]
                complaint = of_ssh(data.decode(errors="replace"), self._to)
                self.problem = None if complaint.kind is Kind.OTHER else complaint
            await process.wait()
            self.problem = of_ssh(said.decode(errors="replace"), self._to)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), _STOP_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def _with_free_port(settings: SshTunnelSettings) -> SshTunnelSettings:
    """ssh does not tell which port it would take."""
    with socket.socket(socket.AF_INET6 if ":" in settings.listen.host else socket.AF_INET) as probe:
        probe.bind((settings.listen.host, 0))
        return replace(settings, listen=Address(settings.listen.host, probe.getsockname()[1]))
