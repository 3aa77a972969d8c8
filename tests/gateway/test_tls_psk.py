"""TLS-PSK against real stunnel, openssl and Python clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from elastron.errors import ConfigError
from elastron.service.psk import render_retiring, retiring_file
from tests.gateway.tls_parts import (
    OTHER_SECRET,
    PATIENCE_S,
    SECRET,
    Echo,
    captured_log,
    connect_tls,
    in_thread,
    key_file,
    listening,
    needs_openssl,
    needs_psk,
    needs_stunnel,
    psk_context,
    s_client,
    settings_of,
    stunnel,
    talk,
)
from tests.ports import free_port

pytestmark = needs_psk


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_the_identity_is_the_tenant(tmp_path: Path, version: str) -> None:
    keys = key_file(tmp_path, f"client1:{SECRET}", f"client2@3:{OTHER_SECRET}")
    async with listening(settings_of(psk_file=keys)) as listener:
        for identity, secret, tenant in (
            ("client1", SECRET, "client1"),
            ("client2@3", OTHER_SECRET, "client2"),
        ):
            context = psk_context(identity, secret, version=version)
            assert await in_thread(partial(talk, listener.port, context)) == b"hello"
            peer = listener.peers[-1]
            assert (peer.identity, peer.tenant) == (identity, tenant)
            assert peer.version == version.replace("_", ".")
        assert listener.tls.outcomes == {"ok": 2}


async def test_a_hexadecimal_key(tmp_path: Path) -> None:
    async with listening(settings_of(psk_file=key_file(tmp_path, f"a:{'0f' * 16}"))) as listener:
        context = psk_context("a", "\x0f" * 16)
        assert await in_thread(partial(talk, listener.port, context)) == b"hello"


async def test_large_data_both_ways(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)

    def exchange(port: int) -> bytes:
        with connect_tls(port, psk_context("client1", SECRET)) as client:
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            heard = bytearray()
            while len(heard) < len(data):
                heard += client.recv(1 << 16)
            sender.join()
            return bytes(heard)

    keys = key_file(tmp_path, f"client1:{SECRET}")
    async with listening(settings_of(psk_file=keys)) as listener:
        assert await in_thread(partial(exchange, listener.port)) == data


# --- stunnel ------------------------------------------------------------------------------------


@needs_stunnel
@pytest.mark.parametrize("options", [(), ("sslVersionMax = TLSv1.2",), ("ciphers = PSK",)])
async def test_a_real_stunnel_client(tmp_path: Path, options: tuple[str, ...]) -> None:
    keys = key_file(tmp_path, f"client1:{SECRET}", f"client2:{OTHER_SECRET}")
    client_keys = tmp_path / "client.secrets"
    client_keys.write_text(f"client2:{OTHER_SECRET}\n")
    client_keys.chmod(0o600)
    data = os.urandom(2_000_000)

    def exchange(port: int) -> bytes:
        """As a client does that ends its own direction first."""
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            heard = bytearray()
            while piece := client.recv(1 << 16):
                heard += piece
            return bytes(heard)

    make = partial(Echo, lambda received: received[::-1])
    async with listening(settings_of(psk_file=keys), make) as listener:
        accept = free_port()
        with stunnel(
            tmp_path,
            "client = yes",
            f"PSKsecrets = {client_keys}",
            *options,
            accept=accept,
            connect=listener.port,
        ):
            for _ in range(2):  # a stunnel would resume its session the second time
                assert await in_thread(partial(exchange, accept)) == data[::-1]
        assert [peer.identity for peer in listener.peers] == ["client2", "client2"]
        assert all(protocol.error is None for protocol in listener.protocols)


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_wrong_and_unknown_look_the_same_to_the_client(tmp_path: Path, version: str) -> None:
    ended = datetime.now(UTC) - timedelta(seconds=1)
    keys = key_file(tmp_path, f"client1:{SECRET}", f"old:{SECRET}", f"new:{SECRET}")
    ends = {"old": ended, "new": ended + timedelta(days=1)}
    retiring_file(keys).write_text(render_retiring(ends))
    cases = {"client1": OTHER_SECRET, "nobody": SECRET, "old": SECRET}
    seen = set()
    with captured_log() as lines:
        async with listening(settings_of(psk_file=keys)) as listener:
            for identity, secret in cases.items():
                context = psk_context(identity, secret, version=version)
                with pytest.raises(ssl.SSLError) as caught:
                    await in_thread(partial(talk, listener.port, context))
                seen.add(caught.value.reason)
            good = psk_context("new", SECRET, version=version)
            assert await in_thread(partial(talk, listener.port, good)) == b"hello"
            expected = {"wrong_key": 1, "unknown_identity": 2, "ok": 1}
            assert listener.tls.outcomes == expected
    assert len(seen) == 1
    failed = [line for line in lines if line["event"] == "handshake failed"]
    assert [line["identity"] for line in failed] == list(cases)
    assert all(line["peer"].startswith("127.0.0.1:") for line in failed)
    assert "wrong key" in failed[0]["reason"]
    assert "unknown, revoked or retired" in failed[1]["reason"]
    assert SECRET not in str(lines)
    assert OTHER_SECRET not in str(lines)


@needs_openssl
@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        (("-tls1_1", "-cipher", "ALL@SECLEVEL=0"), "version"),
        (("-tls1_2", "-cipher", "PSK-AES128-CBC-SHA"), "cipher"),
        (("-tls1_2", "-cipher", "PSK-AES256-GCM-SHA384"), "cipher"),  # without forward secrecy
        (("-tls1_2", "-cipher", "PSK-NULL-SHA256@SECLEVEL=0"), "cipher"),
        (("-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"), None),  # PSKs are of SHA-256
    ],
)
async def test_openssl_with_weak_wishes(
    tmp_path: Path, options: tuple[str, ...], outcome: str | None
) -> None:
    psk = ("-psk", SECRET.encode().hex(), "-psk_identity", "client1")
    keys = key_file(tmp_path, f"client1:{SECRET}")
    async with listening(settings_of(psk_file=keys)) as listener:
        result = await in_thread(partial(s_client, listener.port, *psk, *options))
        assert result.returncode != 0
        await listener.wait(lambda: listener.failures == 1)
        if outcome is not None:
            assert listener.tls.outcomes == {outcome: 1}
        assert listener.tls.outcomes["ok"] == 0


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_with_its_defaults(tmp_path: Path, version: str) -> None:
    psk = ("-psk", SECRET.encode().hex(), "-psk_identity", "client1", version)
    keys = key_file(tmp_path, f"client1:{SECRET}")
    make = partial(Echo, lambda received: b"got " + received)
    async with listening(settings_of(psk_file=keys), make) as listener:
        result = await in_thread(partial(s_client, listener.port, *psk))
        await listener.wait(lambda: len(listener.peers) == 1)
        await listener.protocols[0].gone
        assert bytes(listener.protocols[0].received) == b"hello\n"
        assert result.stderr.count(b"error") == 0


@needs_openssl
async def test_a_client_without_a_key(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"client1:{SECRET}")
    async with listening(settings_of(psk_file=keys)) as listener:
        for version in ("-tls1_2", "-tls1_3"):
            assert (await in_thread(partial(s_client, listener.port, version))).returncode != 0
        await listener.wait(lambda: listener.failures == 2)
        assert listener.tls.outcomes["ok"] == 0


async def test_a_cipher_of_ones_own(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"client1:{SECRET}")
    settings = settings_of(psk_file=keys, ciphers="PSK-AES128-GCM-SHA256")
    async with listening(settings) as listener:
        context = psk_context("client1", SECRET, version="TLSv1_2")
        assert await in_thread(partial(talk, listener.port, context)) == b"hello"
        assert listener.peers[0].cipher == "PSK-AES128-GCM-SHA256"


# --- new keys -----------------------------------------------------------------------------------


async def _refused(port: int, identity: str, secret: str) -> bool:
    try:
        await in_thread(partial(talk, port, psk_context(identity, secret)))
    except ssl.SSLError:
        return True
    return False


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            pass


async def test_keys_change_while_it_runs(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site:{SECRET}")
    async with listening(settings_of(psk_file=keys, reload_interval_s=0.05)) as listener:
        port = listener.port
        old = await asyncio.to_thread(connect_tls, port, psk_context("site", SECRET))
        key_file(tmp_path, f"site:{SECRET}", f"site@2:{OTHER_SECRET}")

        async def takes_the_new() -> bool:
            return not await _refused(port, "site@2", OTHER_SECRET)

        await _until(takes_the_new)
        assert not await _refused(port, "site", SECRET)  # both, while the site changes over

        key_file(tmp_path, f"site@2:{OTHER_SECRET}")
        await _until(lambda: _refused(port, "site", SECRET))
        assert not await _refused(port, "site@2", OTHER_SECRET)

        with old:  # what runs goes on
            await asyncio.to_thread(old.sendall, b"still here")
            assert await asyncio.to_thread(old.recv, 100) == b"still here"


@pytest.mark.parametrize("content", [b"no colon", b"\xff\xfe:x", None])
async def test_a_bad_file_keeps_the_old_keys(tmp_path: Path, content: bytes | None) -> None:
    keys = key_file(tmp_path, f"client1:{SECRET}")
    with captured_log() as lines:
        async with listening(settings_of(psk_file=keys)) as listener:
            if content is None:
                keys.unlink()
            else:
                keys.write_bytes(content)
            assert not listener.tls.reload()
            assert not await _refused(listener.port, "client1", SECRET)
            key_file(tmp_path, f"client1:{OTHER_SECRET}")
            assert listener.tls.reload()
            assert await _refused(listener.port, "client1", SECRET)
    assert [line["log_level"] for line in lines if "old keys stay" in line["event"]] == ["error"]


async def test_the_last_key_revoked_lets_nobody_in(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"client1:{SECRET}")
    async with listening(settings_of(psk_file=keys)) as listener:
        key_file(tmp_path)
        assert listener.tls.reload()
        assert await _refused(listener.port, "client1", SECRET)
        key_file(tmp_path, f"client1:{SECRET}")
        assert listener.tls.reload()
        assert not await _refused(listener.port, "client1", SECRET)


async def test_a_session_is_not_resumed_after_its_key_is_revoked(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"a:{SECRET}", f"b:{OTHER_SECRET}")
    async with listening(settings_of(psk_file=keys)) as listener:
        for version in ("TLSv1_2", "TLSv1_3"):
            context = psk_context("a", SECRET, version=version)
            key_file(tmp_path, f"a:{SECRET}", f"b:{OTHER_SECRET}")
            listener.tls.reload()
            client = await in_thread(partial(connect_tls, listener.port, context))
            with client:
                await in_thread(partial(client.sendall, b"x"))
                assert await in_thread(partial(client.recv, 1)) == b"x"
                session = client.session
            key_file(tmp_path, f"b:{OTHER_SECRET}")
            listener.tls.reload()

            def again(context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
                sock = socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE_S)
                with sock, context.wrap_socket(sock, session=session) as client:
                    client.sendall(b"x")
                    client.recv(1)

            with pytest.raises(ssl.SSLError):
                await in_thread(partial(again, context, session))


async def test_two_hundred_connections_while_keys_rotate(tmp_path: Path) -> None:
    """None with a valid key is refused, none with a revoked one gets in."""
    keys = key_file(tmp_path, f"a:{SECRET}", f"b:{SECRET}")
    async with listening(settings_of(psk_file=keys, reload_interval_s=0.02)) as listener:
        limit = asyncio.Semaphore(8)

        async def connect(identity: str) -> bool:
            async with limit:
                return not await _refused(listener.port, identity, SECRET)

        stop = asyncio.Event()

        async def rotate() -> None:
            turn = 0
            while not stop.is_set():
                turn += 1
                key_file(tmp_path, f"a:{SECRET}", f"b@{turn}:{OTHER_SECRET}")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), 0.03)

        rotating = asyncio.create_task(rotate())
        await _until(lambda: _refused(listener.port, "b", SECRET))
        answers = await asyncio.gather(*(connect(name) for name in "ab" * 100))
        stop.set()
        await rotating
        assert answers == [True, False] * 100


# --- at the start -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: No such file"), ("", "has no key"), ("x\n", "line 1 is not identity")],
)
async def test_a_bad_file_at_the_start_is_an_error(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "stunnel.secrets"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=problem):
        async with listening(settings_of(psk_file=path)):
            pass


async def test_keys_everybody_can_read_are_told(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"a:{SECRET}")
    keys.chmod(0o644)
    with captured_log() as lines:
        async with listening(settings_of(psk_file=keys)):
            pass
    assert any("can read the keys" in line["event"] for line in lines)
