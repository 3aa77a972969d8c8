"""What `elastron up` opens to other machines, and what it refuses to."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from elastron.cli import exposing
from elastron.cli.exposing import expose, refuse_open_doors
from elastron.errors import ConfigError, ElastronError
from elastron.gateway import GatewaySettings
from elastron.service.address import Address
from tests.cli.conftest import PATIENCE_S
from tests.gateway.tls_parts import SECRET, key_file

PLAIN = GatewaySettings.model_validate({"listen": "127.0.0.1:9002"})


def test_a_fleet_of_one_s_own_is_well() -> None:
    refuse_open_doors(PLAIN)
    refuse_open_doors(GatewaySettings.model_validate({"listen": None, "admin": "[::1]:0"}))
    refuse_open_doors(GatewaySettings.model_validate({"tls": [{"listen": ":1", "psk_file": "k"}]}))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"listen": "0.0.0.0:9002"}, r"--listen 0\.0\.0\.0:9002 would let anybody .* --expose psk"),
        ({"listen": ":9002"}, "--listen :9002"),
        ({"listen": "[::]:9002"}, r"--listen \[::\]:9002"),
        ({"listen": "10.0.0.1:9002"}, "without key or encryption"),
        ({"admin": "0.0.0.0:9080"}, "--admin .* would let anybody .* end scans"),
        ({"tls": [{"listen": ":1", "certificate": "c"}]}, "asks nobody for a certificate"),
    ],
)
def test_open_doors_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        refuse_open_doors(GatewaySettings.model_validate(settings))


def test_the_command_refuses_them_and_starts_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "elastron", "up", "--listen", "0.0.0.0:0"]
    command += ["--state", str(tmp_path / "s"), "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 1
    assert "error: --listen 0.0.0.0:0 would let anybody" in done.stderr
    assert not list((tmp_path / "s" / "processes").iterdir())


def test_a_warned_one_may(run) -> None:
    help_text = run("up", "--help").stdout
    assert "--allow-insecure" in help_text
    assert "goes with --expose psk" in run("up", "--psk-file", "keys", code=2).stderr


def test_a_door_of_the_gateway_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "HAS_PSK", True, raising=False)
    keys = key_file(tmp_path, f"a:{SECRET}")
    gateway, exposure = expose(PLAIN, ":9443", keys)
    (tls,) = gateway.tls
    assert (tls.listen, tls.psk_file) == (":9443", keys)
    assert gateway.listen == PLAIN.listen
    assert exposure.own
    assert exposure.address == Address("", 9443)
    assert SECRET not in repr((gateway, exposure))


def test_a_door_of_stunnel_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "HAS_PSK", False, raising=False)
    monkeypatch.setattr(exposing, "stunnel_program", lambda: "/usr/bin/stunnel")
    keys = key_file(tmp_path, f"a:{SECRET}")
    tls_only = GatewaySettings.model_validate({"listen": None})
    gateway, exposure = expose(tls_only, "127.0.0.1:0", keys)
    assert gateway.tls == ()
    assert gateway.listen == "127.0.0.1:0"  # stunnel must reach it
    assert not exposure.own
    assert exposure.address.port > 0
    monkeypatch.setattr(exposing, "stunnel_program", lambda: None)
    with pytest.raises(ElastronError, match=r"needs Python 3\.13 .* apt install stunnel4"):
        expose(PLAIN, ":9443", keys)


def test_without_a_key_there_is_no_door(tmp_path: Path) -> None:
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    empty.touch()
    for path in (absent, empty):
        with pytest.raises(ConfigError, match="holds no key, so nobody could come in"):
            expose(PLAIN, ":9443", path)
    with pytest.raises(ConfigError, match=r"--expose-at: '9443' is not HOST:PORT"):
        expose(PLAIN, "9443", key_file(tmp_path, f"a:{SECRET}"))
