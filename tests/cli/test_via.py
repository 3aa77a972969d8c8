"""`elastron send --via`: what it takes for a way, and what it says when there is none."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastron.access.psk_tunnel import PskTunnel
from elastron.access.ssh_tunnel import SshTunnel
from elastron.cli.via import plan
from elastron.errors import ConfigError
from elastron.service.address import Address
from tests.access.programs import needs_sshd
from tests.cli.conftest import BRAIN
from tests.gateway.tls_parts import (
    HAS_PSK,
    OTHER_SECRET,
    SECRET,
    STUNNEL,
    key_file,
)
from tests.ports import free_port

needs_a_way = pytest.mark.skipif(
    not HAS_PSK and STUNNEL is None, reason="needs Python 3.13 or stunnel (Debian: stunnel4)"
)


def _settings(via: str) -> Any:
    tunnel: Any = plan(via, None)()
    return tunnel.settings if isinstance(tunnel, PskTunnel) else tunnel._settings


@needs_a_way
def test_a_key_s_way(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}", f"site-a@2:{OTHER_SECRET}", f"b:{SECRET}")
    for via, to, identity in (
        (f"psk://site-a@gateway.example.org:9003?key-file={keys}", "gateway.example.org:9003",
         "site-a"),
        (f"psk://b@[::1]?key-file={keys}", "[::1]:9002", "b"),
    ):  # fmt: skip
        settings = _settings(via)
        assert str(settings.to) == to
        assert settings.key.identity == identity
        assert settings.listen == Address("127.0.0.1", 0)


@needs_a_way
def test_a_package_is_a_way(run, tmp_path: Path) -> None:
    run("access", "psk", "create", "--name", "site-a")
    run("access", "psk", "package", "site-a", "--to", "gateway.example.org:9003")
    settings = _settings("site-a.zip")
    assert str(settings.to) == "gateway.example.org:9003"
    assert settings.key.identity == "site-a"


@needs_sshd
def test_the_way_of_ssh(tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.touch()
    make = plan(f"ssh://site-a@jump.example.org:2222?known-hosts={known}", "gw:9002")
    tunnel = make()
    assert isinstance(tunnel, SshTunnel)
    command = tunnel._command
    assert command[-1] == "jump.example.org"
    assert command[command.index("-l") + 1] == "site-a"
    assert command[command.index("-L") + 1].endswith(":gw:9002")
    assert f'UserKnownHostsFile="{known}"' in command


@pytest.mark.parametrize(
    ("via", "words"),
    [
        ("http://host", "begin with psk:// or ssh://"),
        ("absent.zip", "is not there, or no package"),
        ("psk://", "say psk://NAME@HOST:PORT"),
        ("psk://a@host/path", "say psk://"),
        ("psk://a@host:99999?key-file=keys", "is not HOST"),
        ("psk://nobody@host?key-file=keys", "no key for 'nobody'"),
        ("psk://host?key-file=keys", "has 2 keys"),
        ("psk://a@host?key-file=absent", "cannot be read"),
        ("psk://a@host?keys=keys", "no option keys; there is key-file"),
        ("ssh://a@host?identity-file=absent", "absent is not there"),
    ],
)
def test_ways_that_are_none(tmp_path: Path, via: str, words: str) -> None:
    key_file(tmp_path, f"a:{SECRET}", f"b:{SECRET}").rename(tmp_path / "keys")
    with pytest.raises(ConfigError) as caught:
        plan(via, None)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


@needs_a_way
def test_no_way_through_is_said_at_once(run, tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"a:{SECRET}")
    via = f"psk://a@127.0.0.1:{free_port()}?key-file={keys}"
    assert (
        "refuses the connection: nothing listens" in run("send", BRAIN, "--via", via, code=1).stderr
    )


def test_something_else_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("text")
    (tmp_path / "folder").mkdir()
    for name in ("text.zip", "folder"):
        with pytest.raises(ConfigError):
            plan(name, None)
    (tmp_path / "folder" / "stunnel.conf").write_text("[gadgetron]\nclient = yes\n")
    key_file(tmp_path / "folder", f"a:{SECRET}")
    with pytest.raises(ConfigError, match="does not say where to connect to"):
        plan("folder", None)


@given(st.sampled_from(["", "psk://", "ssh://", "psk://a@", "ssh://a@h"]), st.text(max_size=30))
def test_any_words_are_a_way_or_a_clear_error(scheme: str, rest: str) -> None:
    with contextlib.suppress(ConfigError):
        assert callable(plan(scheme + rest, None))
