"""Certificates, and what becomes of those who never finish a handshake."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from elastron.errors import ConfigError
from elastron.gateway.tls_credentials import certificate_name
from tests.gateway.harness import gateway_before, until
from tests.gateway.tls_parts import (
    PATIENCE_S,
    Authority,
    captured_log,
    connect_tls,
    in_thread,
    listening,
    needs_openssl,
    needs_stunnel,
    s_client,
    settings_of,
    stunnel,
    talk,
)
from tests.ports import free_port

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    authority.issue("gateway")
    authority.issue("site-a")
    return authority


@pytest.fixture
def mutual(authority: Authority) -> dict[str, object]:
    return {
        "certificate": authority.folder / "gateway.crt",
        "private_key": authority.folder / "gateway.key",
        "client_ca": authority.certificate,
    }


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_the_name_in_the_certificate_is_the_tenant(
    authority: Authority, mutual: dict, version: str
) -> None:
    context = authority.client_context(authority.folder / "site-a.pem")
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    async with listening(settings_of(**mutual)) as listener:
        assert await in_thread(partial(talk, listener.port, context)) == b"hello"
        assert listener.peers[0].tenant == "site-a"
        assert listener.peers[0].version == version.replace("_", ".")
        assert "GCM" in listener.peers[0].cipher


async def test_without_client_ca_anybody_comes_in_and_the_log_warns(authority: Authority) -> None:
    with captured_log() as lines:
        async with listening(settings_of(certificate=authority.folder / "gateway.pem")) as listener:
            heard = await in_thread(partial(talk, listener.port, authority.client_context()))
            assert heard == b"hello"
            assert listener.peers[0].tenant == ""
    assert any("any client is let in" in line["event"] for line in lines)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_without_a_certificate_nobody_does(
    authority: Authority, mutual: dict, version: str
) -> None:
    context = authority.client_context()
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    async with listening(settings_of(**mutual)) as listener:
        with pytest.raises(ssl.SSLError):
            await in_thread(partial(talk, listener.port, context))
        await listener.wait(lambda: listener.failures == 1)
        assert listener.tls.outcomes == {"certificate": 1}


async def test_a_stranger_s_certificate(tmp_path: Path, mutual: dict, authority: Authority) -> None:
    stranger = Authority(tmp_path).issue("site-a")
    with captured_log() as lines:
        async with listening(settings_of(**mutual)) as listener:
            with pytest.raises(ssl.SSLError):
                await in_thread(partial(talk, listener.port, authority.client_context(stranger)))
            await listener.wait(lambda: listener.failures == 1)
            assert listener.tls.outcomes == {"certificate": 1}
    failed = next(line for line in lines if line["event"] == "handshake failed")
    assert "certificate is refused: " in failed["reason"]


async def test_a_revoked_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, good, bad = (authority.issue(name) for name in ("gateway", "good", "bad"))
    signers = tmp_path / "signers.pem"
    signers.write_text(authority.certificate.read_text() + authority.revocation_list())
    settings = settings_of(certificate=server, client_ca=signers)
    async with listening(settings) as listener:
        for certificate in (good, bad):
            context = authority.client_context(certificate)
            assert await in_thread(partial(talk, listener.port, context)) == b"hello"
        signers.write_text(authority.certificate.read_text() + authority.revocation_list("bad"))
        assert listener.tls.reload()
        context = authority.client_context(good)
        assert await in_thread(partial(talk, listener.port, context)) == b"hello"
        with pytest.raises(ssl.SSLError):
            await in_thread(partial(talk, listener.port, authority.client_context(bad)))
        await listener.wait(lambda: listener.failures == 1)
        assert listener.tls.outcomes == {"certificate": 1, "ok": 3}


async def test_a_new_certificate_without_a_restart(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.issue("gateway")

    def number(port: int) -> str:
        with connect_tls(port, authority.client_context()) as client:
            found = client.getpeercert()
            assert found is not None
            return str(found["serialNumber"])

    settings = settings_of(certificate=certificate, reload_interval_s=0.05)
    async with listening(settings) as listener:
        first = await in_thread(partial(number, listener.port))
        authority.issue("gateway")
        async with asyncio.timeout(PATIENCE_S):
            while await in_thread(partial(number, listener.port)) == first:
                pass
        certificate.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
        assert not listener.tls.reload()
        assert await in_thread(partial(number, listener.port)) != first


@needs_stunnel
async def test_a_real_stunnel_client_with_a_certificate(
    authority: Authority, mutual: dict, tmp_path: Path
) -> None:
    def exchange(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
            client.sendall(b"hello")
            return client.recv(5)

    async with listening(settings_of(**mutual)) as listener:
        accept = free_port()
        options = (
            "client = yes",
            f"cert = {authority.folder / 'site-a.pem'}",
            f"CAfile = {authority.certificate}",
            "verifyChain = yes",
        )
        with stunnel(tmp_path, *options, accept=accept, connect=listener.port):
            assert await in_thread(partial(exchange, accept)) == b"hello"
        assert listener.peers[0].tenant == "site-a"


async def test_old_versions(authority: Authority, mutual: dict) -> None:
    old = ("-tls1_1", "-cipher", "ALL@SECLEVEL=0")
    async with listening(settings_of(**mutual, version_min="1.3")) as listener:
        for options in (old, ("-tls1_2",)):
            assert (await in_thread(partial(s_client, listener.port, *options))).returncode != 0
        await listener.wait(lambda: listener.failures == 2)
        assert listener.tls.outcomes == {"version": 2}


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        ({"subject": ((("countryName", "NL"),), (("commonName", "site"),))}, "site"),
        ({"subjectAltName": (("IP Address", "10.0.0.1"), ("DNS", "scanner.example"))},
         "scanner.example"),
        ({"subject": ((("commonName", ""),),), "subjectAltName": (("email", "a@b"),)}, "a@b"),
        ({}, ""),
    ],
)  # fmt: skip
def test_the_name_of_a_certificate(certificate: dict, name: str) -> None:
    assert certificate_name(certificate) == name


async def test_a_certificate_without_a_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    nameless = authority.issue("nameless", subject="/O=Hospital")
    settings = settings_of(certificate=authority.issue("gateway"), client_ca=authority.certificate)
    async with listening(settings) as listener:
        with contextlib.suppress(OSError):
            await in_thread(partial(talk, listener.port, authority.client_context(nameless)))
        await listener.wait(lambda: listener.failures == 1)
        assert listener.peers == []
        assert listener.tls.outcomes == {"certificate": 1}


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"psk_file": "a", "certificate": "b"},
        {"psk_file": "a", "client_ca": "b"},
        {"certificate": "a", "version_min": "1.1"},
    ],
)
def test_settings_that_contradict_themselves(values: dict) -> None:
    with pytest.raises(ValidationError):
        settings_of(**values)


async def test_bad_files_at_the_start_are_errors(authority: Authority, tmp_path: Path) -> None:
    good = authority.folder / "gateway.pem"
    text = tmp_path / "text"
    text.write_text("nothing")
    locked = tmp_path / "locked.pem"
    authority.openssl(
        "ec", "-in", "gateway.key", "-aes256", "-passout", "pass:secret",
        "-out", str(locked),
    )  # fmt: skip
    cases = [
        ({"certificate": tmp_path / "absent"}, "is not there"),
        ({"certificate": text}, "no usable certificate and key"),
        ({"certificate": authority.folder / "gateway.crt", "private_key": locked}, "no usable"),
        ({"certificate": good, "client_ca": text}, "no usable certificates of signers"),
        ({"certificate": good, "ciphers": "NONSENSE"}, "no cipher of TLS 1.2 in 'NONSENSE'"),
    ]
    for values, problem in cases:
        with pytest.raises(ConfigError, match=problem):
            async with listening(settings_of(**values)):
                pass


# --- those who never finish ---------------------------------------------------------------------


@contextlib.contextmanager
def idle_connections(port: int, count: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
            sockets.append(stack.enter_context(sock))
            sock.sendall(said)
        yield sockets


async def test_plain_tcp_is_told_apart(authority: Authority, mutual: dict) -> None:
    with captured_log() as lines:
        async with listening(settings_of(**mutual)) as listener:

            def speak() -> bytes:
                with socket.create_connection(("127.0.0.1", listener.port), PATIENCE_S) as client:
                    client.sendall(b"\x01\x00default.xml")
                    with contextlib.suppress(ConnectionResetError):
                        return client.recv(100)
                return b""

            assert await in_thread(speak) == b""
            await listener.wait(lambda: listener.failures == 1)
            assert listener.tls.outcomes == {"not_tls": 1}
    assert any("plain TCP to the TLS port" in line.get("reason", "") for line in lines)


async def test_half_open_handshakes_do_not_keep_a_client_out(
    authority: Authority, mutual: dict
) -> None:
    context = authority.client_context(authority.folder / "site-a.pem")
    settings = settings_of(**mutual, handshakes_max=16, handshake_timeout_s=PATIENCE_S)
    async with listening(settings) as listener:
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):  # silent ones; those who begin and stop
            before = listener.failures
            with idle_connections(listener.port, 40, said):
                await listener.wait(lambda before=before: listener.failures >= before + 24)
                heard = await in_thread(partial(talk, listener.port, context))
                assert heard == b"hello"
                assert listener.tls.shaking <= 16
            await listener.wait(lambda: listener.tls.shaking == 0)
        assert listener.tls.outcomes["crowded_out"] >= 48


async def test_silence_has_an_end(authority: Authority, mutual: dict) -> None:
    with captured_log() as lines:
        async with listening(settings_of(**mutual, handshake_timeout_s=0.1)) as listener:
            with idle_connections(listener.port, 1), idle_connections(listener.port, 1, b"\x16"):
                await listener.wait(lambda: listener.failures == 2)
            assert listener.tls.outcomes == {"timeout": 2}
    reasons = {line["reason"] for line in lines if line["event"] == "handshake failed"}
    assert reasons == {"no byte within 0.1 s", "no end of the handshake within 0.1 s"}


async def test_a_flood_of_failures_does_not_flood_the_log(mutual: dict) -> None:
    with captured_log() as lines:
        async with listening(settings_of(**mutual)) as listener:
            with idle_connections(listener.port, 120, b"GET / HTTP/1.1"):
                await listener.wait(lambda: listener.failures == 120)
            assert listener.tls.outcomes == {"not_tls": 120}
    assert len([line for line in lines if line["event"] == "handshake failed"]) == 50


async def test_looking_whether_it_lives_is_no_failure_worth_a_line(mutual: dict) -> None:
    with captured_log() as lines:
        async with listening(settings_of(**mutual)) as listener:
            with idle_connections(listener.port, 1):
                pass
            await listener.wait(lambda: listener.failures == 1)
    assert not [line for line in lines if line["event"] == "handshake failed"]


async def test_who_shook_hands_and_says_nothing_does_not_hold_up_a_drain(
    authority: Authority, mutual: dict
) -> None:
    listener = {"listen": "127.0.0.1:0", **{name: str(path) for name, path in mutual.items()}}
    context = authority.client_context(authority.folder / "site-a.pem")
    async with gateway_before(tls=[listener], handshake_timeout_s=600) as gateway:
        client = await in_thread(partial(connect_tls, gateway.tls_addresses[0].port, context))
        with client:
            await until(lambda: gateway.sessions)
            assert await asyncio.wait_for(gateway.drain(), PATIENCE_S) == 0
            assert b"draining" in await in_thread(partial(client.recv, 1 << 16))


async def test_stopping_ends_handshakes(mutual: dict) -> None:
    async with listening(settings_of(**mutual, handshake_timeout_s=PATIENCE_S)) as listener:
        with idle_connections(listener.port, 1, b"\x16"):
            await listener.wait(lambda: listener.failures == 0)
            async with asyncio.timeout(PATIENCE_S):
                while not listener.tls.shaking:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.01)
            await listener.tls.stop()
            await listener.wait(lambda: listener.failures == 1)
