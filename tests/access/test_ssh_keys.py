"""Host keys, public keys, and who is let in; against the real ssh-keygen."""

from __future__ import annotations

import base64
import stat
import subprocess
from pathlib import Path

import pytest

from elastron.access import authorized_keys, host_keys
from elastron.access.public_key import parse_public_key
from elastron.errors import ConfigError, ElastronError
from tests.access.programs import needs_ssh_keygen


def keygen(folder: Path, name: str, *options: str) -> Path:
    path = folder / name
    command = ["ssh-keygen", "-q", "-N", "", "-C", "me@scanner", "-f", str(path), *options]
    subprocess.run(command, check=True, timeout=60)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return keygen(tmp_path, "id", "-t", "ed25519")


# --- public keys --------------------------------------------------------------------------------


@needs_ssh_keygen
@pytest.mark.parametrize(
    "options", [("-t", "ed25519"), ("-t", "ecdsa"), ("-t", "rsa", "-b", "2048")]
)
def test_the_fingerprint_is_ssh_keygen_s(tmp_path: Path, options: tuple[str, ...]) -> None:
    public = keygen(tmp_path, "id", *options).with_suffix(".pub")
    key = parse_public_key(public.read_text())
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(public)], capture_output=True, text=True, check=True
    ).stdout
    assert key.fingerprint in shown.split()
    assert public.read_text() == f"{key.line} {key.comment}\n"
    assert key.comment == "me@scanner"


@needs_ssh_keygen
def test_what_is_no_key_to_let_in(tmp_path: Path, key: Path) -> None:
    good = key.with_suffix(".pub").read_text()
    kind, encoded, _ = good.split()
    weak = keygen(tmp_path, "weak", "-t", "rsa", "-b", "1024").with_suffix(".pub").read_text()
    cases = {
        key.read_text(): "this is a private key",
        "": "not 0 lines",
        good + good: "not 2 lines",
        weak: "RSA key of 1024 bits is too weak",
        f"ssh-dss {encoded}": "of a kind that is taken today",
        f"ssh-rsa {encoded}": "damaged",
        f"{kind} {encoded[:-8]}": "damaged",
        f"{kind} ???": "damaged",
        f"{kind} ": "damaged",
        f'command="evil" {good}': "of a kind that is taken today",
    }
    for text, problem in cases.items():
        with pytest.raises(ConfigError, match=problem):
            parse_public_key(text)
    assert parse_public_key(f"# a comment\n\n{good}").kind == kind


# --- host keys ----------------------------------------------------------------------------------


@needs_ssh_keygen
def test_host_keys_are_made_once(tmp_path: Path) -> None:
    made = host_keys.make_host_keys(tmp_path)
    assert [key.kind for key in made] == ["rsa", "ecdsa", "ed25519"]
    assert all(key.fresh for key in made)
    content = {}
    for key in made:
        assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
        assert key.path.name == f"ssh_host_{key.kind}_key"
        check = ["ssh-keygen", "-y", "-P", "", "-f", str(key.path)]
        derived = subprocess.run(check, capture_output=True, text=True, check=True).stdout
        assert derived.startswith(key.public.line)
        content[key.path] = key.path.read_bytes()
    again = host_keys.make_host_keys(tmp_path, ["ed25519", "rsa", "ed25519"])
    assert [key.kind for key in again] == ["ed25519", "rsa"]
    assert not any(key.fresh for key in again)
    assert all(path.read_bytes() == before for path, before in content.items())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{key.path.name}{end}" for key in made for end in ("", ".pub")}


@needs_ssh_keygen
def test_rotating_keeps_the_old_ones_beside(tmp_path: Path) -> None:
    (old,) = host_keys.make_host_keys(tmp_path, ["ed25519"])
    before = old.path.read_bytes()
    (new,) = host_keys.make_host_keys(tmp_path, ["ed25519"], rotate=True)
    assert new.fresh
    assert new.public != old.public
    assert (tmp_path / "ssh_host_ed25519_key.old").read_bytes() == before
    assert stat.S_IMODE((tmp_path / "ssh_host_ed25519_key.old").stat().st_mode) == 0o600


@needs_ssh_keygen
def test_half_a_pair(tmp_path: Path) -> None:
    (made,) = host_keys.make_host_keys(tmp_path, ["ed25519"])
    public = made.path.with_name(f"{made.path.name}.pub")
    public.unlink()
    assert host_keys.make_host_keys(tmp_path, ["ed25519"])[0].public.blob == made.public.blob
    made.path.unlink()
    with pytest.raises(ConfigError, match="bring it back or delete both"):
        host_keys.make_host_keys(tmp_path, ["ed25519"])


def test_unknown_kinds_and_no_ssh_keygen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="dsa: no kind of host key"):
        host_keys.make_host_keys(tmp_path, ["dsa"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ElastronError, match="install OpenSSH"):
        host_keys.make_host_keys(tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_ssh_keygen
def test_a_key_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "ssh_host_rsa_key").write_text("nonsense")
    with pytest.raises(ElastronError, match="ssh-keygen failed"):
        host_keys.make_host_keys(tmp_path, ["rsa"])


@needs_ssh_keygen
def test_lines_for_known_hosts(tmp_path: Path) -> None:
    made = host_keys.make_host_keys(tmp_path, ["ed25519"])
    line = made[0].public.line
    assert host_keys.known_hosts(made, "jump.example.org") == f"jump.example.org {line}\n"
    assert host_keys.known_hosts(made, "jump", 2222) == f"[jump]:2222 {line}\n"
    assert host_keys.known_hosts(made, "[::1]", 2222) == f"[::1]:2222 {line}\n"


# --- who is let in ------------------------------------------------------------------------------


@needs_ssh_keygen
def test_authorizing_and_revoking(tmp_path: Path, key: Path) -> None:
    folder = tmp_path / "sshkey"
    public = parse_public_key(key.with_suffix(".pub").read_text())
    other = parse_public_key(
        keygen(tmp_path, "other", "-t", "ecdsa").with_suffix(".pub").read_text()
    )
    assert authorized_keys.authorize(folder, "site-a", public)
    assert not authorized_keys.authorize(folder, "site-a", public)  # again
    assert authorized_keys.authorize(folder, "site-a", other)
    assert authorized_keys.authorize(folder, "gadgetron", public)
    assert {path.name for path in folder.iterdir()} == {"site-a", "authorizedkeys"}
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for line in path.read_text().splitlines():
            assert line.startswith("restrict,port-forwarding ")
    found = authorized_keys.sites(folder)
    assert found == {"gadgetron": [public], "site-a": [public, other]}
    assert authorized_keys.revoke(folder, "site-a", public) == 1
    assert authorized_keys.sites(folder)["site-a"] == [other]
    with pytest.raises(ConfigError, match="no such key"):
        authorized_keys.revoke(folder, "site-a", public)
    assert authorized_keys.revoke(folder, "site-a") == 1
    assert set(authorized_keys.sites(folder)) == {"gadgetron"}
    with pytest.raises(ConfigError, match="no such key"):
        authorized_keys.revoke(folder, "site-a")


@needs_ssh_keygen
def test_comments_do_not_break_lines(tmp_path: Path, key: Path) -> None:
    kind, encoded, _ = key.with_suffix(".pub").read_text().split()
    public = parse_public_key(f"{kind} {encoded} \x1b[31mme")
    authorized_keys.authorize(tmp_path / "keys", "a", public)
    assert (tmp_path / "keys" / "a").read_text().endswith(f" {encoded} [31mme\n")
    with pytest.raises(ConfigError, match="not 2 lines"):
        parse_public_key(f"{kind} {encoded} a\x0bb")


@pytest.mark.parametrize("site", ["", "../x", "A", "a b", "authorizedkeys", "a" * 33, "-a", "a\n"])
def test_names_that_cannot_log_in(tmp_path: Path, site: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a login name"):
        authorized_keys.keys_file(tmp_path, site)


def test_an_empty_folder_and_a_strange_file(tmp_path: Path) -> None:
    assert authorized_keys.sites(tmp_path / "absent") == {}
    (tmp_path / ".hidden").write_text("x")
    assert authorized_keys.sites(tmp_path) == {}
    (tmp_path / "a").write_text(f"ssh-ed25519 {base64.b64encode(b'x').decode()}\n")
    with pytest.raises(ConfigError, match="/a: the public key is cut short"):
        authorized_keys.sites(tmp_path)
