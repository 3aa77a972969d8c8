"""`elastron access`, `elastron tunnel`, and the scripts with the original's names."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from elastron.cli import access, tunnel
from elastron.errors import ConfigError, ElastronError
from elastron.service.psk import parse_keys, parse_retiring
from tests.access.programs import backend, needs_ssh_keygen, needs_sshd, stunnel_server
from tests.access.test_ssh_keys import keygen
from tests.access.test_ssh_tunnel import jump_server
from tests.gateway.tls_parts import (
    PATIENCE_S,
    key_file,
    needs_psk,
    needs_stunnel,
)
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
SECRET = "4ZYJY+HoIX1xxZM563VpppejPJNQ4S4Z"  # noqa: S105 - the one in the original's README

Run = Callable[..., str]


@pytest.fixture
def call() -> Run:
    """Run a command in this process; what it prints on stdout."""

    def invoke(*args: object, app: object = access.app, stdin: str | None = None) -> str:
        result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        assert SECRET not in result.stderr
        return result.stdout

    return invoke


def keys_of(path: Path) -> dict[str, str]:
    return {name: key.secret for name, key in parse_keys(path.read_text()).items()}


# --- pre-shared keys ----------------------------------------------------------------------------


def test_create_makes_the_original_s_file_once(call: Run, tmp_path: Path) -> None:
    call("psk", "create")
    path = tmp_path / "stunnel.secrets"
    text = path.read_text()
    assert re.fullmatch(r"(client\d+:[A-Za-z0-9+/]{32}\n){10}", text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    call("psk", "create")
    assert path.read_text() == text
    call("psk", "create", "--clients", "12", "--name", "site-a", "--name", "site-b")
    keys = keys_of(path)
    assert path.read_text().startswith(text)
    assert list(keys)[10:] == ["site-a", "site-b", "client11", "client12"]


def test_a_file_of_one_s_own_is_kept(call: Run, tmp_path: Path) -> None:
    path = tmp_path / "stunnel.secrets"
    path.write_text(f"mine:{SECRET}\n")
    call("psk", "create")
    assert keys_of(path) == {"mine": SECRET}


def test_the_life_of_a_key(call: Run, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    file = ("--file", path)
    call("psk", "add", "site-a", *file)
    call("psk", "add", "site-b", "--key-file", "-", *file, stdin=f"{SECRET}\n")
    assert keys_of(path)["site-b"] == SECRET
    call("psk", "rotate", "site-a", "--overlap", "2h", *file)
    assert list(keys_of(path)) == ["site-a", "site-b", "site-a@2"]
    assert list(parse_retiring((tmp_path / "keys.retiring").read_text())) == ["site-a"]

    shown = call("psk", "ls", *file)
    assert SECRET not in shown
    rows = json.loads(call("psk", "ls", "--json", *file))
    assert [(row["identity"], row["site"], row["state"]) for row in rows] == [
        ("site-a", "site-a", "ends"), ("site-b", "site-b", "good"), ("site-a@2", "site-a", "good")
    ]  # fmt: skip
    assert len({row["fingerprint"] for row in rows}) == 3

    call("psk", "prune", *file)
    assert len(keys_of(path)) == 3
    call("psk", "rotate", "site-a", "--overlap", "0s", *file)
    assert list(keys_of(path)) == ["site-b", "site-a@3"]
    call("psk", "revoke", "site-a", *file)
    assert list(keys_of(path)) == ["site-b"]
    with pytest.raises(ConfigError, match="neither a site nor an identity"):
        call("psk", "revoke", "site-a", *file)


@pytest.mark.parametrize("text", ["", "5", "d", "-1d", "1y", "1.5h", "9999999d"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is no duration"):
        access.parse_duration(text)


def test_a_kubernetes_secret(call: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        call("psk", "secret")
    call("psk", "create")
    text = call("psk", "secret", "--name", "keys", "-n", "mri")
    secret = yaml.safe_load(text)
    assert secret["metadata"] == {"name": "keys", "namespace": "mri"}
    content = base64.b64decode(secret["data"]["stunnel.secrets"]).decode()
    assert content == (tmp_path / "stunnel.secrets").read_text()
    assert secret["data"]["stunnel.secrets.retiring"] == ""
    (tmp_path / "old.yaml").write_text(text)
    call("psk", "rotate", "client1")
    fresh = yaml.safe_load(call("psk", "secret", "--name", "keys", "--update", "old.yaml"))
    assert fresh["metadata"] == secret["metadata"]
    assert "client1@2" in base64.b64decode(fresh["data"]["stunnel.secrets"]).decode()
    assert base64.b64decode(fresh["data"]["stunnel.secrets.retiring"]).startswith(b"client1:2")
    again = call("psk", "secret", "--name", "keys", "--update", "-", stdin=yaml.safe_dump(fresh))
    assert yaml.safe_load(again) == fresh


def test_a_package_for_a_site(call: Run, tmp_path: Path) -> None:
    call("psk", "create", "--name", "site-a", "--name", "site-b")
    call("psk", "rotate", "site-a")
    call("psk", "package", "site-a", "--to", "gateway.example.org:9002")
    path = tmp_path / "site-a.zip"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with zipfile.ZipFile(path) as archive:
        keys = parse_keys(archive.read("elastron-client/stunnel.secrets").decode())
    assert list(keys) == ["site-a@2"]


# --- SSH ----------------------------------------------------------------------------------------


@needs_ssh_keygen
def test_ssh_host_keys(call: Run, tmp_path: Path) -> None:
    secret = yaml.safe_load(call("ssh-keys", "ed25519", "ecdsa", "--secret", "ssh-server-keys"))
    kinds = ("ecdsa", "ed25519")
    names = {f"ssh_host_{kind}_key{end}" for kind in kinds for end in ("", ".pub")}
    assert set(secret["data"]) == names == {path.name for path in tmp_path.iterdir()}
    assert yaml.safe_load(call("ssh-keys", "ed25519", "ecdsa", "--secret", "ssh-server-keys")) == (
        secret
    )
    public = (tmp_path / "ssh_host_ed25519_key.pub").read_text().split()[1]
    lines = call("ssh-keys", "ed25519", "--known-hosts", "jump.example.org:2222")
    assert lines == f"[jump.example.org]:2222 ssh-ed25519 {public}\n"
    call("ssh-keys", "ed25519", "--rotate")
    assert (tmp_path / "ssh_host_ed25519_key.old").exists()
    assert (tmp_path / "ssh_host_ed25519_key.pub").read_text().split()[1] != public


@needs_ssh_keygen
def test_authorize(call: Run, tmp_path: Path) -> None:
    public = keygen(tmp_path, "id", "-t", "ed25519").with_suffix(".pub")
    call("authorize", "site-a", public)
    call("authorize", "gadgetron", public)
    shown = call("authorize").splitlines()
    assert [line.split()[0] for line in shown] == ["gadgetron", "site-a"]
    secret = yaml.safe_load(call("authorize", "--secret", "sshkey"))
    assert set(secret["data"]) == {"authorizedkeys", "site-a"}
    call("authorize", "site-a", "--remove")
    assert set(yaml.safe_load(call("authorize", "--secret", "sshkey"))["data"]) == {
        "authorizedkeys"
    }
    with pytest.raises(ConfigError, match="this is a private key"):
        call("authorize", "site-a", tmp_path / "id")
    with pytest.raises(ConfigError, match="Which key of site-a"):
        call("authorize", "site-a")


# --- tunnels ------------------------------------------------------------------------------------


@needs_psk
@needs_stunnel
def test_checking_a_key_tunnel(call: Run, tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"other:{SECRET[::-1]}", f"site-a:{SECRET}")
    listen = ("--listen", "127.0.0.1:0", "--key-file", keys, "--check")
    with backend() as server, stunnel_server(tmp_path, keys, server.port) as (port, _):
        to = ("--to", f"127.0.0.1:{port}")
        call("psk", *to, *listen, "--identity", "site-a", app=tunnel.app)
        with pytest.raises(ConfigError, match="has no key of 'nobody'"):
            call("psk", *to, *listen, "--identity", "nobody", app=tunnel.app)
    with pytest.raises(ElastronError, match="refuses the connection"):
        call("psk", "--to", f"127.0.0.1:{free_port()}", *listen, app=tunnel.app)


@needs_sshd
def test_checking_an_ssh_tunnel(call: Run, tmp_path: Path) -> None:
    with backend() as server, jump_server(tmp_path, server) as (settings, _):
        call(
            "ssh", "--to", f"{settings.user}@{settings.to}", "--gateway", settings.gateway,
            "-i", settings.identity_file, "--known-hosts", settings.known_hosts,
            "--listen", "127.0.0.1:0", "--check", app=tunnel.app,
        )  # fmt: skip


@needs_psk
@needs_stunnel
def test_a_tunnel_runs_until_a_signal(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    code = "from elastron.cli.tunnel import app; app()"
    with backend() as server, stunnel_server(tmp_path, keys, server.port) as (port, _):
        process = subprocess.Popen(
            [sys.executable, "-c", code, "psk", "--to", f"127.0.0.1:{port}",
             "--key-file", str(keys), "--listen", "127.0.0.1:0"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        line = process.stderr.readline()
        assert re.match(
            rf"127\.0\.0\.1:\d+ leads to 127\.0\.0\.1:{port} as site-a: Gadgetron Version", line
        )
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        process.stderr.close()


def test_addresses_that_are_none(tmp_path: Path) -> None:
    keys = key_file(tmp_path, f"site-a:{SECRET}")
    for options in (("--to", "host:99999"), ("--to", "host", "--listen", "9002")):
        command = ["psk", *options, "--key-file", str(keys)]
        result = CliRunner().invoke(tunnel.app, command)
        assert result.exit_code == 2
        assert "is not HOST:PORT" in result.output


# --- scripts ------------------------------------------------------------------------------------


def script(
    path: str, *args: str, folder: Path, kubectl: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a wrapper with only this kubectl, if any, on the path."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    elastron = programs / "elastron"
    elastron.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "from elastron.cli.access import app\nsys.argv.remove('access')\napp()\n"
    )
    elastron.chmod(0o755)
    if kubectl is not None:
        (programs / "kubectl").write_text(f"#!/bin/sh\n{kubectl}\n")
        (programs / "kubectl").chmod(0o755)
    for name in ("bash", "sh", "cat", "mkdir", "env", "ssh-keygen", "grep"):
        for place in ("/bin", "/usr/bin"):
            if (Path(place) / name).exists() and not (programs / name).exists():
                (programs / name).symlink_to(Path(place) / name)
    return subprocess.run(
        ["/bin/bash", str(ROOT / path), *args],
        cwd=folder,
        env={**os.environ, "PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


#: A cluster without the secret, which keeps what is applied to it.
FRESH = 'if [ "$1" = get ]; then exit 1; fi; cat >applied.yaml'
#: One that has it.
KNOWN = 'if [ "$1" = get ]; then exit 0; fi; cat >applied.yaml'


def test_create_stunnel_secrets(tmp_path: Path) -> None:
    path = "stunnel/create-stunnel-secrets.sh"
    done = script(path, folder=tmp_path, kubectl=FRESH)
    assert done.returncode == 0, done.stderr
    keys = (tmp_path / "stunnel.secrets").read_text()
    assert keys.count("\n") == 10
    secret = yaml.safe_load((tmp_path / "applied.yaml").read_text())
    assert secret["metadata"]["name"] == "stunnel"
    assert base64.b64decode(secret["data"]["stunnel.secrets"]).decode() == keys
    done = script(path, "another", folder=tmp_path, kubectl=KNOWN)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "stunnel.secrets").read_text() == keys
    applied = yaml.safe_load((tmp_path / "applied.yaml").read_text())
    assert applied["metadata"]["name"] == "another"
    (tmp_path / "stunnel.secrets").unlink()
    done = script(path, folder=tmp_path, kubectl=KNOWN)
    assert done.returncode == 1
    assert "would lock every site out" in done.stderr


def test_create_stunnel_secrets_without_a_cluster(tmp_path: Path) -> None:
    done = script("stunnel/create-stunnel-secrets.sh", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    manifest = tmp_path / "stunnel-secret.yaml"
    assert yaml.safe_load(manifest.read_text())["kind"] == "Secret"
    assert stat.S_IMODE(manifest.stat().st_mode) == 0o600


@needs_ssh_keygen
def test_generate_ssh_keys(tmp_path: Path) -> None:
    done = script("generate_ssh_keys.sh", "rsa", "ed25519", folder=tmp_path, kubectl=FRESH)
    assert done.returncode == 0, done.stderr
    secret = yaml.safe_load((tmp_path / "applied.yaml").read_text())
    assert secret["metadata"]["name"] == "ssh-server-keys"
    assert "ssh_host_rsa_key" in secret["data"]
    assert "ssh_host_ecdsa_key" not in secret["data"]
    again = script("generate_ssh_keys.sh", "rsa", "ed25519", folder=tmp_path, kubectl=KNOWN)
    assert again.returncode == 0, again.stderr
    assert yaml.safe_load((tmp_path / "applied.yaml").read_text()) == secret
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    refused = script("generate_ssh_keys.sh", folder=elsewhere, kubectl=KNOWN)
    assert refused.returncode == 1
    assert "look to every client like an attack" in refused.stderr
