"""The stunnel beside a gateway whose Python has no TLS-PSK."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from elastron.access.keyring import KeyFile, Keyring
from elastron.access.stunnel_server import _CONF, StunnelServer, StunnelServerSettings
from elastron.errors import ConfigError, ElastronError
from elastron.service.address import Address
from tests.access.charts import readme_stunnel
from tests.access.programs import Backend, backend, until
from tests.access.test_exposed import answers
from tests.gateway.tls_parts import captured_log, in_thread, needs_stunnel
from tests.helm.harness import named, render

pytestmark = needs_stunnel


def _file(folder: Path) -> KeyFile:
    file = KeyFile(folder / "stunnel.secrets")
    file.save(Keyring().create(["site-a", "site-b"])[0])
    return file


@contextlib.asynccontextmanager
async def serving(keys: KeyFile, server: Backend) -> AsyncIterator[StunnelServer]:
    stunnel = StunnelServer(
        StunnelServerSettings(
            Address("127.0.0.1", 0),
            Address("127.0.0.1", server.port),
            keys.path,
            keys.path.parent / "state",
            reload_interval_s=0.05,
        )
    )
    await stunnel.start()
    running = asyncio.create_task(stunnel.run())
    try:
        yield stunnel
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await stunnel.stop()


def _client(
    folder: Path, keys: KeyFile, stunnel: StunnelServer
) -> contextlib.AbstractContextManager[int]:
    return readme_stunnel(folder / "client", _line(keys, "site-a"), stunnel.address.port)


def _line(keys: KeyFile, site: str) -> str:
    key = keys.load().current(site)
    return f"{key.identity}:{key.secret}"


async def test_it_comes_back_when_it_is_killed(tmp_path: Path) -> None:
    keys = _file(tmp_path)
    with backend() as server, captured_log() as lines:
        async with serving(keys, server) as stunnel:
            assert stunnel.process is not None
            first = stunnel.process.pid
            with readme_stunnel(
                tmp_path / "c", _line(keys, "site-a"), stunnel.address.port
            ) as port:
                assert await in_thread(partial(answers, port))
                assert first is not None
                os.kill(first, signal.SIGKILL)
                # Who comes meanwhile waits; the socket is open all the time.
                assert await in_thread(partial(answers, port))
            assert stunnel.process.pid != first
    assert any(line["event"] == "stunnel ended" for line in lines)
    assert any('PSK identity "site-a"' in line["event"] for line in lines)
    assert keys.load().keys["site-a"].secret not in str(lines)


async def test_the_last_key_revoked_lets_nobody_in(tmp_path: Path) -> None:
    keys = _file(tmp_path)
    with backend() as server:
        async with serving(keys, server) as stunnel:
            with readme_stunnel(
                tmp_path / "c", _line(keys, "site-a"), stunnel.address.port
            ) as port:
                assert await in_thread(partial(answers, port))
                keys.save(Keyring())
                await in_thread(lambda: until(lambda: not answers(port)))


async def test_a_bad_file_keeps_the_old_keys(tmp_path: Path) -> None:
    keys = _file(tmp_path)
    line = _line(keys, "site-a")
    with backend() as server, captured_log() as lines:
        async with serving(keys, server) as stunnel:
            keys.path.write_text("nonsense\n")
            await in_thread(lambda: until(lambda: any("old keys" in x["event"] for x in lines)))
            with readme_stunnel(tmp_path / "c", line, stunnel.address.port) as port:
                assert await in_thread(partial(answers, port))


async def test_what_keeps_it_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = _file(tmp_path)
    with backend() as server:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            settings = StunnelServerSettings(
                Address(*taken.getsockname()), Address("127.0.0.1", 1), keys.path, tmp_path / "s"
            )
            with pytest.raises(ElastronError, match="cannot listen"):
                await StunnelServer(settings).start()
        for text in ("", "nonsense\n"):
            keys.path.write_text(text)
            with pytest.raises(ConfigError):
                async with serving(keys, server):
                    pass
        keys.path.unlink()
        with pytest.raises(ConfigError, match="cannot be read"):
            async with serving(keys, server):
                pass
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ElastronError, match="apt install stunnel4"):
            async with serving(_file(tmp_path), server):
                pass


def test_it_is_as_strict_as_the_chart() -> None:
    """The chart takes plain PSK besides, for old clients; nothing else is laxer here."""
    data = named(render("stunnel"), "ConfigMap", "gt1-stunnel")["data"]
    ours, chart = _options(_CONF), _options(data["stunnel.conf"])
    assert set(ours["ciphers"].split(":")) < set(chart["ciphers"].split(":"))
    assert set(ours["ciphersuites"].split(":")) < set(chart["ciphersuites"].split(":"))
    same = set(chart) - {"ciphers", "ciphersuites", "PSKsecrets", "accept", "connect"}
    for name in same - {"TIMEOUTbusy", "socket"}:
        assert ours[name] == chart[name]
    assert "cert" not in ours


def _options(text: str) -> dict[str, str]:
    pairs = (line.partition(" =") for line in text.splitlines() if not line.startswith(";"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}
