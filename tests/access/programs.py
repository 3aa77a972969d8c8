"""Real servers to reach through: something that answers queries, stunnel, OpenSSH."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from elastron.wire import Decoder, encode
from elastron.wire.messages import Close, Query, Response
from tests.gateway.tls_parts import PATIENCE_S, STUNNEL, wait_for_port
from tests.ports import free_port

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)
needs_sshd = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None,
    reason="needs OpenSSH (Debian: openssh-server, openssh-client)",
)
needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="needs ssh-keygen (Debian: openssh-client)"
)


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another program does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process does; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


class Backend:
    """Stands for the gateway: answers QUERYs as one does; other bytes it sends back."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.sock.getsockname()[1]
        self.connections = 0
        self.answer = "Gadgetron Version Info\n"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.sock.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            first = connection.recv(2, socket.MSG_PEEK)
            if first != b"\x06\x00":
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
                return
            decoder = Decoder()
            while data := connection.recv(1 << 16):
                decoder.feed(data)
                for message in decoder.messages():
                    if isinstance(message, Query):
                        response = Response(self.answer, message.correlation_id)
                        for part in encode(response):
                            connection.sendall(part)
                    elif isinstance(message, Close):
                        return

    def close(self) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@contextlib.contextmanager
def backend() -> Iterator[Backend]:
    server = Backend()
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def program(folder: Path, name: str, command: list[str], port: int) -> Iterator[Path]:
    """Run a server until the block ends; its log."""
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # openssl ends a connection at the end of its input
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        wait_for_port(port, process)
        yield log
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


@contextlib.contextmanager
def stunnel_in(folder: Path, accept: int) -> Iterator[Path]:
    """stunnel with the `stunnel.conf` of a folder, as its reader would start it."""
    assert STUNNEL is not None
    conf = folder / "foreground.conf"
    text = (folder / "stunnel.conf").read_bytes()
    conf.write_bytes(b"foreground = yes\npid =\n" + text)  # or it would leave for the background
    with program(folder, "client", [STUNNEL, str(conf)], accept):
        yield folder / "stunnel.log"


@contextlib.contextmanager
def stunnel_server(
    folder: Path, keys: Path, connect: int, port: int | None = None
) -> Iterator[tuple[int, Path]]:
    """A stunnel server as the chart configures it; its port and log."""
    assert STUNNEL is not None
    port = port or free_port()
    conf = folder / "server.conf"
    conf.write_text(
        "foreground = yes\npid =\ndebug = info\nsslVersionMin = TLSv1.2\n"
        "ciphers = ECDHE-PSK-CHACHA20-POLY1305\n"
        f"PSKsecrets = {keys}\n[gadgetron]\naccept = 127.0.0.1:{port}\n"
        f"connect = 127.0.0.1:{connect}\n"
    )
    with program(folder, "server", [STUNNEL, str(conf)], port) as log:
        yield port, log


def user_name() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@contextlib.contextmanager
def sshd(
    folder: Path, host_keys: list[Path], authorized: Path, *permit: str
) -> Iterator[tuple[int, Path]]:
    """A real sshd as the chart configures it, on a free port; port and log."""
    assert SSHD is not None
    port = free_port()
    conf = folder / "sshd_config"
    lines = [
        f"ListenAddress 127.0.0.1:{port}",
        "PidFile none",
        *(f"HostKey {key}" for key in host_keys),
        f"AuthorizedKeysFile {authorized}",
        "AuthenticationMethods publickey",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "StrictModes no",
        f"AllowUsers {user_name()}",
        "PermitRootLogin yes",  # the tests may run as root; the chart's sshd never does
        "AllowTcpForwarding local",
        f"PermitOpen {' '.join(permit) or 'none'}",
        "PermitListen none",
        "X11Forwarding no",
        "PermitTTY no",
        "ForceCommand /bin/false",
        "LogLevel VERBOSE",
    ]
    conf.write_text("\n".join([*lines, ""]))
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own empty folder, missing in containers
    with program(folder, "sshd", [SSHD, "-D", "-e", "-f", str(conf)], port) as log:
        yield port, log
