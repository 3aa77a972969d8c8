"""Our tunnel through a real sshd, configured as the chart's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from elastron.access.authorized_keys import authorize
from elastron.access.host_keys import known_hosts, make_host_keys
from elastron.access.problems import Kind, of_ssh
from elastron.access.public_key import parse_public_key
from elastron.access.ssh_tunnel import SshTunnel, SshTunnelSettings, ssh_command
from elastron.access.tunnel import TunnelError, check
from elastron.errors import ElastronError
from elastron.service.address import Address
from tests.access.programs import (
    Backend,
    backend,
    needs_sshd,
    sshd,
    until,
    user_name,
)
from tests.access.test_ssh_keys import keygen
from tests.gateway.tls_parts import PATIENCE_S, in_thread
from tests.ports import free_port

ANYWHERE = SshTunnelSettings(
    Address("127.0.0.1", 0), Address("jump.example", 22), Address("gw", 9002)
)


@contextlib.contextmanager
def jump_server(folder: Path, server: Backend, *permit: str):
    """sshd with what our commands write; settings of a tunnel that works, and sshd's log."""
    keys = make_host_keys(folder, ["ed25519"])
    identity = keygen(folder, "id", "-t", "ed25519")
    public = parse_public_key(identity.with_suffix(".pub").read_text())
    authorize(folder / "sshkey", "gadgetron", public)
    permitted = permit or (f"127.0.0.1:{server.port}",)
    authorized = folder / "sshkey" / "authorizedkeys"
    with sshd(folder, [key.path for key in keys], authorized, *permitted) as (port, log):
        known = folder / "known hosts"
        known.write_text(known_hosts(keys, "127.0.0.1", port))
        yield (
            SshTunnelSettings(
                Address("127.0.0.1", 0),
                Address("127.0.0.1", port),
                Address("127.0.0.1", server.port),
                user=user_name(),
                identity_file=identity,
                known_hosts=known,
                connect_timeout_s=PATIENCE_S,
            ),
            log,
        )


@contextlib.asynccontextmanager
async def tunnel(settings: SshTunnelSettings) -> AsyncIterator[SshTunnel]:
    tunnel = SshTunnel(settings)
    try:
        await tunnel.start()
        yield tunnel
    finally:
        await tunnel.stop()


async def problem_of(settings: SshTunnelSettings) -> tuple[Kind, str]:
    async with tunnel(settings) as opened:
        with pytest.raises(TunnelError) as caught:
            await check(opened, PATIENCE_S)
    return caught.value.problem.kind, caught.value.problem.text


@needs_sshd
async def test_through_a_real_sshd(tmp_path: Path) -> None:
    with backend() as server, jump_server(tmp_path, server) as (settings, log):
        async with tunnel(settings) as opened:
            assert await check(opened, PATIENCE_S) == "Gadgetron Version Info"
            data = os.urandom(3_000_000)

            def echo() -> bytes:
                with socket.create_connection(tuple(opened.address), timeout=PATIENCE_S) as client:
                    heard = bytearray()
                    for at in range(0, len(data), 50_000):
                        client.sendall(data[at : at + 50_000])
                        while len(heard) < min(at + 50_000, len(data)):
                            heard += client.recv(1 << 16)
                    return bytes(heard)

            assert await in_thread(echo) == data
        fingerprint = parse_public_key((tmp_path / "id.pub").read_text()).fingerprint
        await in_thread(lambda: until(lambda: fingerprint in log.read_text()))


@needs_sshd
async def test_it_comes_back_when_the_line_breaks(tmp_path: Path) -> None:
    with backend() as server, jump_server(tmp_path, server) as (settings, log):
        async with tunnel(settings) as opened:
            await check(opened, PATIENCE_S)
            for pid in _children("ssh"):
                os.kill(pid, signal.SIGKILL)
            await in_thread(lambda: until(lambda: log.read_text().count("Accepted publickey") > 1))
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    with contextlib.suppress(TunnelError):
                        assert await check(opened, PATIENCE_S) == "Gadgetron Version Info"
                        break


def _children(name: str) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, command, _, parent, *_ = status.read_text().split()
            if command == f"({name})" and int(parent) == os.getpid():
                found.append(int(pid))
    return found


@needs_sshd
async def test_a_host_key_that_is_not_the_known_one(tmp_path: Path) -> None:
    with backend() as server, jump_server(tmp_path, server) as (settings, _):
        assert settings.known_hosts is not None
        (tmp_path / "elsewhere").mkdir()
        stranger = make_host_keys(tmp_path / "elsewhere", ["ed25519"])
        settings.known_hosts.write_text(known_hosts(stranger, *settings.to))
        kind, text = await problem_of(settings)
        assert kind is Kind.WRONG_HOST
        assert "is not the server whose host key is known here" in text
        settings.known_hosts.write_text("")
        assert (await problem_of(settings))[0] is Kind.WRONG_HOST  # unknown is not good enough
        async with tunnel(replace(settings, accept_new=True)) as opened:
            await check(opened, PATIENCE_S)
        assert settings.known_hosts.read_text()


@needs_sshd
async def test_a_key_that_is_not_authorized(tmp_path: Path) -> None:
    with backend() as server, jump_server(tmp_path, server) as (settings, _):
        other = keygen(tmp_path, "other", "-t", "ed25519")
        kind, text = await problem_of(replace(settings, identity_file=other))
        assert kind is Kind.WRONG_KEY
        assert "not authorized there" in text
        other.chmod(0o644)
        kind, text = await problem_of(replace(settings, identity_file=other))
        assert kind is Kind.WRONG_KEY


@needs_sshd
async def test_only_to_the_gateway(tmp_path: Path) -> None:
    with backend() as server, jump_server(tmp_path, server) as (settings, log):
        elsewhere = replace(settings, gateway=Address("127.0.0.1", free_port()))
        kind, text = await problem_of(elsewhere)
        assert kind is Kind.FORBIDDEN
        assert "lets nobody through to that gateway address" in text
        # Another of its processes writes it.
        await in_thread(lambda: until(lambda: "but the request was denied" in log.read_text()))


@needs_sshd
async def test_the_gateway_behind_it_is_down(tmp_path: Path) -> None:
    with backend() as server:
        down = free_port()
        with jump_server(tmp_path, server, f"127.0.0.1:{down}") as (settings, _):
            gateway = Address("127.0.0.1", down)
            kind, text = await problem_of(replace(settings, gateway=gateway))
    assert kind is Kind.NO_ANSWER
    assert "does not reach the gateway" in text


@needs_sshd
async def test_nobody_there(tmp_path: Path) -> None:
    somewhere = replace(ANYWHERE, to=Address("127.0.0.1", free_port()))
    assert (await problem_of(somewhere))[0] is Kind.REFUSED
    nowhere = replace(ANYWHERE, to=Address("no-such-host.invalid", 22))
    kind, text = await problem_of(nowhere)
    assert kind is Kind.DNS
    assert "no-such-host.invalid:22" in text


@needs_sshd
async def test_a_local_port_that_is_taken(tmp_path: Path) -> None:
    with (
        backend() as server,
        jump_server(tmp_path, server) as (settings, _),
        socket.create_server(("127.0.0.1", 0)) as taken,
    ):
        opened = SshTunnel(replace(settings, listen=Address(*taken.getsockname())))
        running = asyncio.create_task(opened.start())
        await in_thread(lambda: until(lambda: opened.problem is not None))
        assert opened.problem is not None
        assert opened.problem.kind is Kind.LOCAL_PORT
        await running
        await opened.stop()


# --- what ssh is told ---------------------------------------------------------------------------


def test_the_command(tmp_path: Path) -> None:
    settings = SshTunnelSettings(
        Address("127.0.0.1", 9002),
        Address("::1", 2222),
        Address("gt1-gadgetron", 9002),
        user="site-a",
        identity_file=tmp_path / "id",
        known_hosts=tmp_path / "50% of hosts",
    )
    command = ssh_command(settings, "/usr/bin/ssh")
    assert command[:4] == ["/usr/bin/ssh", "-N", "-T", "-p"]
    assert command[-4:] == ["-L", "127.0.0.1:9002:gt1-gadgetron:9002", "--", "::1"]
    assert f'UserKnownHostsFile="{tmp_path}/50%% of hosts"' in command
    assert "StrictHostKeyChecking=yes" in command
    assert "BatchMode=yes" in command


@pytest.mark.parametrize("name", ["-oProxyCommand=evil", "", "a b", "a;b", "$(b)", "a\nb"])
def test_names_that_are_none(name: str) -> None:
    for settings in (
        replace(ANYWHERE, to=Address(name, 22)),
        replace(ANYWHERE, gateway=Address(name, 22)),
        replace(ANYWHERE, user=name),
    ):
        with pytest.raises(ElastronError, match=r"is no (host's|login) name"):
            ssh_command(settings, "ssh")


def test_a_quotation_mark_in_a_file_s_name() -> None:
    with pytest.raises(ElastronError, match="quotation mark"):
        ssh_command(replace(ANYWHERE, known_hosts=Path('a"b')), "ssh")


def test_no_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ElastronError, match="install OpenSSH"):
        SshTunnel(ANYWHERE)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ssh: connect to host 10.0.0.1 port 22: Connection timed out", Kind.TIMEOUT),
        ("Timeout, server 10.0.0.1 not responding.", Kind.TIMEOUT),
        ("ssh: connect to host 10.0.0.1 port 22: No route to host", Kind.UNREACHABLE),
        ("kex_exchange_identification: Connection closed by remote host", Kind.CUT_OFF),
        ("Connection to jump closed by remote host.", Kind.CUT_OFF),
        ("Load key \"/a/id\": invalid format\nroot@jump: Permission denied (publickey).",
         Kind.WRONG_KEY),
        ("channel 2: open failed: connect failed: Connection refused", Kind.NO_ANSWER),
        ("channel 2: open failed: administratively prohibited: open failed", Kind.FORBIDDEN),
        ("something new", Kind.OTHER),
        ("", Kind.OTHER),
    ],
)  # fmt: skip
def test_what_ssh_s_words_mean(said: str, kind: Kind) -> None:
    problem = of_ssh(said, "jump:22")
    assert problem.kind is kind
    assert "{" not in problem.text
