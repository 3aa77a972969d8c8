"""A TLS listener in this process, and real clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import structlog

from elastron.gateway.tls import Tls, TlsPeer, TlsSettings
from elastron.service.listening import peer_name

SECRET = "4ZYJY+HoIX1xxZM563VpppejPJNQ4S4Z"  # noqa: S105 - the one in the original's README
OTHER_SECRET = "bm90IHRoZSBzYW1lIGtleSBhdCBhbGwh"  # noqa: S105

HAS_PSK = getattr(ssl, "HAS_PSK", False)
needs_psk = pytest.mark.skipif(
    not HAS_PSK, reason=f"TLS-PSK needs Python 3.13; this is {sys.version.split()[0]}"
)
STUNNEL = shutil.which("stunnel4") or shutil.which("stunnel")
needs_stunnel = pytest.mark.skipif(STUNNEL is None, reason="needs stunnel (Debian: stunnel4)")
OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="needs openssl")

#: A real program on a loaded machine.
PATIENCE_S = 60

T = TypeVar("T")


class Echo(asyncio.BufferedProtocol):
    """Keeps what comes; answers with `answer(everything)` at the peer's end of file."""

    def __init__(self, answer: Callable[[bytes], bytes] | None = None) -> None:
        self.received = bytearray()
        self.ended = False
        self.error: Exception | None = None
        loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = loop.create_future()
        self.answer = answer
        self.buffer = bytearray(50_000)
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]
        if self.answer is None:
            self.transport.write(bytes(self.buffer[:nbytes]))

    def eof_received(self) -> bool:
        self.ended = True
        if self.answer is None:
            return False
        self.transport.write(self.answer(bytes(self.received)))
        self.transport.close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.gone.set_result(None)


class Listener:
    """Accepts and shakes hands until the test is over."""

    def __init__(self, tls: Tls, make: Callable[[], Echo], port: int) -> None:
        self.tls = tls
        self.sock = socket.create_server(("127.0.0.1", port), backlog=2048)
        self.sock.setblocking(False)
        self.port = self.sock.getsockname()[1]
        self.peers: list[TlsPeer] = []
        self.protocols: list[Echo] = []
        self.failures = 0
        self.changed = asyncio.Condition()
        self._make = make
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, address = await loop.sock_accept(self.sock)
            task = asyncio.create_task(self._one(sock, peer_name(address)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one(self, sock: socket.socket, peer: str) -> None:
        made = await self.tls.accept(sock, peer, self._make)
        if made is None:
            self.failures += 1
        else:
            self.protocols.append(made[1])
            self.peers.append(made[2])
        async with self.changed:
            self.changed.notify_all()

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(condition)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for protocol in self.protocols:
            if not protocol.gone.done():
                protocol.transport.abort()
                await protocol.gone
        self.sock.close()


@contextlib.asynccontextmanager
async def listening(
    settings: TlsSettings, make: Callable[[], Echo] = Echo, port: int = 0
) -> AsyncIterator[Listener]:
    tls = Tls(settings)
    await tls.start()
    listener = Listener(tls, make, port)
    running = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await tls.stop()
        await listener.close()


def settings_of(**values: object) -> TlsSettings:
    patient = {"listen": "127.0.0.1:0", "handshake_timeout_s": PATIENCE_S}
    return TlsSettings.model_validate(patient | values)


def key_file(folder: Path, *lines: str) -> Path:
    """Written as the commands do: whole or not at all."""
    path = folder / "stunnel.secrets"
    fresh = folder / "stunnel.secrets.new"
    fresh.write_text("".join(f"{line}\n" for line in lines))
    fresh.chmod(0o600)
    fresh.replace(path)
    return path


async def in_thread(call: Callable[[], T]) -> T:
    return await asyncio.wait_for(asyncio.to_thread(call), PATIENCE_S)


def psk_context(identity: str, secret: str, *, version: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("PSK")
    if version is not None:
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    context.set_psk_client_callback(lambda hint: (identity, secret.encode()))
    return context


def connect_tls(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    try:
        return context.wrap_socket(sock)
    except BaseException:
        sock.close()
        raise


def talk(port: int, context: ssl.SSLContext, said: bytes = b"hello") -> bytes:
    """What comes back for `said`."""
    with connect_tls(port, context) as client:
        client.sendall(said)
        heard = b""
        while len(heard) < len(said) and (piece := client.recv(1 << 16)):
            heard += piece
        with contextlib.suppress(OSError):
            client.unwrap()
        return heard


@contextlib.contextmanager
def stunnel(folder: Path, *options: str, accept: int, connect: int) -> Iterator[Path]:
    """The real stunnel with a configuration file; its log file."""
    assert STUNNEL is not None
    name = f"stunnel-{accept}"
    log = folder / f"{name}.log"
    lines = [
        "foreground = yes",
        "pid =",
        "debug = info",
        f"output = {log}",
        f"[{name}]",
        f"accept = 127.0.0.1:{accept}",
        f"connect = 127.0.0.1:{connect}",
        *options,
    ]
    conf = folder / f"{name}.conf"
    conf.write_text("\n".join([*lines, ""]))
    process = subprocess.Popen(
        [STUNNEL, str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_port(accept, process)
        yield log
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until somebody listens there; looked up in the kernel's table, without connecting."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    for _ in range(PATIENCE_S * 50):
        if wanted in Path("/proc/net/tcp").read_text():
            return
        if process.poll() is not None:
            raise RuntimeError("stunnel ended at once")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    raise RuntimeError("stunnel does not listen")


def s_client(port: int, *options: str, said: bytes = b"hello\n") -> subprocess.CompletedProcess:
    assert OPENSSL is not None
    return subprocess.run(
        [OPENSSL, "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-no_ign_eof", *options],
        input=said,
        capture_output=True,
        timeout=PATIENCE_S,
        env={**os.environ, "OPENSSL_CONF": "/dev/null"},
        check=False,
    )


@contextlib.contextmanager
def captured_log() -> Iterator[list[dict]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


class Authority:
    """Certificates for tests, made with openssl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self.openssl("req", "-x509", *_NEW_KEY, "-subj", "/CN=Test authority", "-days", "2",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                      "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip

    def issue(self, name: str, *, subject: str | None = None, alternative: str = "") -> Path:
        """A certificate and its key in one file."""
        self.openssl("req", *_NEW_KEY, "-subj", subject or f"/CN={name}",
                      "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        extra = self.folder / f"{name}.ext"
        extra.write_text(f"subjectAltName={alternative}\n" if alternative else "")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                      "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext",
                      "-out", f"{name}.crt")  # fmt: skip
        both = self.folder / f"{name}.pem"
        parts = [self.folder / f"{name}.{end}" for end in ("crt", "key")]
        fresh = self.folder / f"{name}.new"
        fresh.write_text("".join(part.read_text() for part in parts))
        fresh.chmod(0o600)
        fresh.replace(both)
        return both

    def revocation_list(self, *revoked: str) -> str:
        """A list of revoked certificates, PEM."""
        (self.folder / "index.txt").write_text("")
        (self.folder / "ca.conf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\n"
            "default_crl_days=1\ncertificate=ca.pem\nprivate_key=ca.key\n"
        )
        for name in revoked:
            self.openssl("ca", "-config", "ca.conf", "-revoke", f"{name}.crt")
        self.openssl("ca", "-config", "ca.conf", "-gencrl", "-out", "crl.pem")
        return (self.folder / "crl.pem").read_text()

    def client_context(self, certificate: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context

    def openssl(self, *arguments: str) -> None:
        assert OPENSSL is not None
        subprocess.run(
            [OPENSSL, *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60
        )


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
