"""The package a site gets, unpacked and started as its page says."""

from __future__ import annotations

import contextlib
import io
import socket
import stat
import zipfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from elastron.access.client_package import client_package, read_package
from elastron.access.keyring import KeyFile, Keyring
from elastron.errors import ConfigError
from elastron.service.psk import PreSharedKey, parse_keys
from tests.access.programs import backend, program, stunnel_in, stunnel_server, until
from tests.gateway.tls_parts import (
    OPENSSL,
    PATIENCE_S,
    SECRET,
    Authority,
    Echo,
    in_thread,
    listening,
    needs_openssl,
    needs_psk,
    needs_stunnel,
    settings_of,
    stunnel,
)
from tests.ports import free_port

_FAR = datetime(2100, 1, 1, tzinfo=UTC)
KEY = PreSharedKey("site-a@2", SECRET)


def unpack(package: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        archive.extractall(folder)
        for entry in archive.infolist():
            (folder / entry.filename).chmod(entry.external_attr >> 16)
    return folder / "elastron-client"


def talk(port: int, said: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1 << 16):
                heard += piece
        return heard


def test_it_holds_its_own_key_only(tmp_path: Path) -> None:
    package = client_package(KEY, connect="gateway.example.org:9002")
    assert package == client_package(KEY, connect="gateway.example.org:9002")
    folder = unpack(package, tmp_path)
    names = {"README.txt", "stunnel.conf", "stunnel.secrets", "no-certificate.pem"}
    assert {path.name for path in folder.iterdir()} == names
    keys = folder / "stunnel.secrets"
    assert parse_keys(keys.read_text()) == {"site-a@2": KEY}
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    page = (folder / "README.txt").read_text()
    assert "gateway.example.org:9002" in page
    assert "site-a@2" in page
    for path in folder.iterdir():
        assert b"{" not in path.read_bytes()
        assert b"\n" not in path.read_bytes().replace(b"\r\n", b"")
        if path != keys:
            assert SECRET not in path.read_text()


@pytest.mark.parametrize("connect", ["gateway.example.org:9002", "[2001:db8::1]:9003"])
def test_it_is_read_again(tmp_path: Path, connect: str) -> None:
    path = tmp_path / "site.zip"
    path.write_bytes(client_package(KEY, connect=connect))
    assert read_package(path) == (KEY, connect)
    folder = unpack(path.read_bytes(), tmp_path)
    assert read_package(folder) == read_package(tmp_path) == (KEY, connect)


@needs_stunnel
def test_stunnel_takes_an_ipv6_address(tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    accept = free_port()
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        server.settimeout(PATIENCE_S)
        to = f"[::1]:{server.getsockname()[1]}"
        package = client_package(KEY, connect=to, accept=f"127.0.0.1:{accept}")
        with (
            stunnel_in(unpack(package, tmp_path), accept),
            socket.create_connection(("127.0.0.1", accept), timeout=PATIENCE_S),
        ):
            server.accept()[0].close()


@pytest.mark.parametrize("address", ["host", "host:", "host:0", "host:70000", "a b:1", "h:1\nx=y"])
def test_addresses_that_would_spoil_the_configuration(address: str) -> None:
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        client_package(KEY, connect=address)
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        client_package(KEY, connect="host:1", accept=address)


def _unpacked(folder: Path, key: PreSharedKey, port: int) -> tuple[Path, int]:
    accept = free_port()
    package = client_package(key, connect=f"127.0.0.1:{port}", accept=f"127.0.0.1:{accept}")
    return unpack(package, folder), accept


@needs_stunnel
def test_it_works_with_a_stunnel_server(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "stunnel.secrets")
    ring, _ = Keyring().create(["site-a", "site-b"])
    file.save(ring)
    data = b"x" * 500_000
    with backend() as server, stunnel_server(tmp_path, file.path, server.port) as (port, log):
        folder, accept = _unpacked(tmp_path, ring.current("site-a"), port)
        with stunnel_in(folder, accept):
            assert talk(accept, data) == data
        until(lambda: 'PSK identity "site-a"' in log.read_text())


@needs_stunnel
@needs_psk
async def test_it_works_with_the_gateway_and_after_a_rotation(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "stunnel.secrets")
    ring, _ = Keyring().create(["site-a", "site-b"])
    file.save(ring)
    make = partial(Echo, lambda received: received[::-1])
    async with listening(settings_of(psk_file=file.path), make) as listener:
        for number in (1, 2):
            place = tmp_path / str(number)
            place.mkdir()
            folder, accept = _unpacked(place, ring.current("site-a"), listener.port)
            with stunnel_in(folder, accept):
                assert await in_thread(partial(talk, accept, b"scan")) == b"nacs"
            ring, _ = ring.rotate("site-a", _FAR)
            file.save(ring)
            assert listener.tls.reload()
        assert [peer.identity for peer in listener.peers] == ["site-a", "site-a@2"]
        assert {peer.tenant for peer in listener.peers} == {"site-a"}


@needs_stunnel
@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_stranger_with_a_certificate_gets_nothing(tmp_path: Path, version: str) -> None:
    """The original's configuration sends the scan to whoever answers with any certificate."""
    assert OPENSSL is not None
    authority = Authority(tmp_path)
    pem = authority.issue("stranger")
    port = free_port()
    command = [OPENSSL, "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), version]
    with program(tmp_path, "stranger", [*command, "-quiet"], port) as log:
        folder, accept = _unpacked(tmp_path, KEY, port)
        with stunnel_in(folder, accept) as client_log:
            assert talk(accept, b"patient data") == b""
            until(lambda: "certificate verify failed" in client_log.read_text())
        assert b"patient data" not in log.read_bytes()
        (tmp_path / "original").mkdir()
        original = free_port()
        options = ("client = yes", f"PSKsecrets = {folder / 'stunnel.secrets'}")
        with (
            stunnel(tmp_path / "original", *options, accept=original, connect=port),
            socket.create_connection(("127.0.0.1", original), timeout=PATIENCE_S) as client,
        ):
            client.sendall(b"patient data")
            until(lambda: b"patient data" in log.read_bytes())
