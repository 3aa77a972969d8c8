"""A tunnel with a key that a stunnel of our own carries, for Pythons without TLS-PSK."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from elastron.access.problems import Kind, of_stunnel
from elastron.access.psk_tunnel import PskTunnelSettings
from elastron.access.stunnel_tunnel import StunnelTunnel
from elastron.access.tunnel import TunnelError, check
from elastron.errors import ElastronError
from elastron.service.address import Address
from elastron.service.psk import PreSharedKey
from tests.access.programs import backend, program, runs, stunnel_server, until
from tests.gateway.tls_parts import (
    OPENSSL,
    OTHER_SECRET,
    PATIENCE_S,
    SECRET,
    Authority,
    in_thread,
    key_file,
    needs_openssl,
    needs_stunnel,
)
from tests.ports import free_port

pytestmark = needs_stunnel
KEY = PreSharedKey("site-a", SECRET)


def settings_to(
    port: int, key: PreSharedKey = KEY, *, host: str = "127.0.0.1", timeout_s: float = PATIENCE_S
) -> PskTunnelSettings:
    return PskTunnelSettings(
        Address("127.0.0.1", 0), Address(host, port), key, connect_timeout_s=timeout_s
    )


@contextlib.asynccontextmanager
async def tunnel(settings: PskTunnelSettings) -> AsyncIterator[StunnelTunnel]:
    tunnel = StunnelTunnel(settings)
    try:
        await tunnel.start()
        yield tunnel
    finally:
        await tunnel.stop()


async def problem_of(settings: PskTunnelSettings) -> tuple[Kind, str]:
    async with tunnel(settings) as opened:
        with pytest.raises(TunnelError) as caught:
            await check(opened, PATIENCE_S)
    assert SECRET not in str(caught.value)
    return caught.value.problem.kind, caught.value.problem.text


def modes(folder: Path) -> dict[str, int]:
    """Of a folder with a key and of the key, as long as they are there."""
    paths = {"": folder, "stunnel.secrets": folder / "stunnel.secrets"}
    return {
        name: stat.S_IMODE(path.stat().st_mode) for name, path in paths.items() if path.exists()
    }


async def test_through_a_real_stunnel_server(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    with backend() as server, stunnel_server(tmp_path, keys, server.port) as (port, log):
        async with tunnel(settings_to(port)) as opened:
            assert await check(opened, PATIENCE_S) == "Gadgetron Version Info"
            await in_thread(lambda: until(lambda: opened.busy == 0))

            def echo() -> bytes:
                address = tuple(opened.address)
                with socket.create_connection(address, timeout=PATIENCE_S) as client:
                    client.sendall(b"scan")
                    return client.recv(4)

            assert await in_thread(echo) == b"scan"
            assert opened.problem is None
            assert opened._folder is not None
            folder = Path(opened._folder.name)
            assert modes(folder) == {"": 0o700, "stunnel.secrets": 0o600}
        assert modes(folder) == {}
        await in_thread(lambda: until(lambda: 'PSK identity "site-a"' in log.read_text()))


async def test_wrong_and_unknown_keys(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    with backend() as server, stunnel_server(tmp_path, keys, server.port) as (port, _):
        kind, text = await problem_of(settings_to(port, PreSharedKey("site-a", OTHER_SECRET)))
        assert kind is Kind.WRONG_KEY
        assert "does not take the key of 'site-a'" in text
        # A stunnel server without certificates has nothing else to offer, and says just that.
        kind, _ = await problem_of(settings_to(port, PreSharedKey("nobody", SECRET)))
        assert kind in {Kind.WRONG_KEY, Kind.TLS}


async def test_nobody_there() -> None:
    kind, text = await problem_of(settings_to(free_port()))
    assert kind is Kind.REFUSED
    assert "refuses the connection" in text
    kind, _ = await problem_of(settings_to(9002, host="no-such-host.invalid"))
    assert kind is Kind.DNS


async def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kind, text = await problem_of(settings_to(silent.getsockname()[1], timeout_s=0.2))
    assert kind is Kind.TIMEOUT
    assert "says nothing" in text


@pytest.mark.parametrize(
    ("said", "kind"),
    [(b"\x05\x00\x10\x00\x00\x00not a TLS record", Kind.TLS), (b"", Kind.CUT_OFF)],
)
async def test_one_that_is_not_tls(said: bytes, kind: Kind) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        found, _ = await problem_of(settings_to(server.sockets[0].getsockname()[1]))
    assert found is kind


@needs_openssl
async def test_a_stranger_with_a_certificate_gets_nothing(tmp_path: Path) -> None:
    assert OPENSSL is not None
    pem, port = Authority(tmp_path).issue("stranger"), free_port()
    command = [OPENSSL, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-quiet"]
    with program(tmp_path, "stranger", command, port) as log:
        kind, text = await problem_of(settings_to(port))
        assert kind is Kind.WRONG_HOST
        assert "shows a certificate instead" in text
        assert b"gadgetron::info" not in log.read_bytes()


async def test_an_address_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = PskTunnelSettings(Address(*taken.getsockname()), Address("127.0.0.1", 1), KEY)
        with pytest.raises(ElastronError, match="cannot listen"):
            await StunnelTunnel(settings).start()


async def test_stunnel_ends_with_us(tmp_path: Path) -> None:
    """Even if we are killed: the kernel sees to that."""
    code = (
        "import asyncio, sys\n"
        "from tests.access.test_stunnel_tunnel import *\n"
        "async def main():\n"
        "    tunnel = StunnelTunnel(settings_to(1))\n"
        "    await tunnel.start()\n"
        "    print(tunnel._process.pid, flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    assert runs(pid)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await in_thread(lambda: until(lambda: not runs(pid)))


def test_no_stunnel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ElastronError, match="apt install stunnel4"):
        StunnelTunnel(settings_to(1))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("s_connect: s_poll_wait 10.0.0.1:9002: TIMEOUTconnect exceeded", Kind.TIMEOUT),
        ("s_connect: connect 10.0.0.1:9002: No route to host (113)", Kind.UNREACHABLE),
        ("SSL_connect: ssl/record/rec_layer_s3.c:1605: error:0A000410:SSL routines::sslv3 alert "
         "handshake failure", Kind.TLS),
        ("SSL_connect: Connection reset by peer (104)", Kind.CUT_OFF),
        ("something new", Kind.OTHER),
    ],
)  # fmt: skip
def test_what_stunnel_s_words_mean(said: str, kind: Kind) -> None:
    assert of_stunnel(said, "gateway:9002", "site-a").kind is kind
