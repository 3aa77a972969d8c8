"""The stunnel chart's own configuration, run by the real stunnel."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastron.access.keyring import KeyFile, Keyring
from tests.access.charts import Server, chart_stunnel, stunnel_files
from tests.access.programs import until
from tests.gateway.tls_parts import (
    OPENSSL,
    PATIENCE_S,
    needs_openssl,
    s_client,
    stunnel,
)
from tests.helm.harness import named, of_kind, refusal, render
from tests.ports import free_port


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says back what it hears."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while data := client.recv(65536):
                client.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    """Of the sites alpha and beta."""
    file = KeyFile(tmp_path / "stunnel.secrets")
    file.save(Keyring().create(["alpha", "beta"])[0])
    return file


@pytest.fixture
def server(echo: int, keys: KeyFile, tmp_path: Path) -> Iterator[Server]:
    """stunnel as the chart's pod runs it."""
    with chart_stunnel(tmp_path / "server", keys.path, echo) as server:
        yield server


def _key(keys: KeyFile, site: str) -> str:
    key = keys.load().current(site)
    return f"{key.identity}:{key.secret}"


def _through(server: Server, key: str, folder: Path, *options: str) -> bool:
    """Whether a stunnel client with this key gets an echo."""
    folder.mkdir()
    secrets = folder / "stunnel.secrets"
    secrets.write_text(f"{key}\n")
    secrets.chmod(0o600)
    settings = ("client = yes", f"PSKsecrets = {secrets}", *options)
    port = free_port()
    with (
        stunnel(folder, *settings, accept=port, connect=server.port),
        socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client,
    ):
        try:
            client.sendall(b"scan")
            return client.recv(4) == b"scan"
        except OSError:
            return False


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("sslVersion = TLSv1.3",),
        ("sslVersion = TLSv1.2",),
        ("sslVersion = TLSv1.2", "ciphers = PSK"),
    ],
    ids=["original", "tls13", "tls12", "tls12-psk"],
)
def test_a_site_with_its_key_comes_in(
    server: Server, keys: KeyFile, tmp_path: Path, options: tuple[str, ...]
):
    assert _through(server, _key(keys, "alpha"), tmp_path / "client", *options)
    for words in ('PSK identity "alpha"', "accepted connection from 127.0.0.1:"):
        until(lambda words=words: words in server.log.read_text())
    log = server.log.read_text()
    assert keys.load().keys["alpha"].secret not in log


def test_keys_change_without_a_restart(server: Server, keys: KeyFile, tmp_path: Path):
    keys.save(keys.load().add("gamma"))
    tries = 0
    while not _through(server, _key(keys, "gamma"), tmp_path / f"after{tries}"):
        tries += 1
        assert tries < 100
    assert _through(server, _key(keys, "alpha"), tmp_path / "still")
    assert server.process.poll() is None


def test_wrong_revoked_and_unknown_keys(server: Server, keys: KeyFile, tmp_path: Path):
    ring = keys.load()
    alpha, beta = ring.keys["alpha"], ring.keys["beta"]
    assert not _through(server, f"alpha:{beta.secret}", tmp_path / "wrong")
    assert not _through(server, f"stranger:{beta.secret}", tmp_path / "unknown")
    keys.save(ring.revoke("beta")[0])
    tries = 0
    while _through(server, f"beta:{beta.secret}", tmp_path / f"revoked{tries}"):
        tries += 1
        assert tries < 100
    assert _through(server, f"alpha:{alpha.secret}", tmp_path / "still")
    # The first of them tells who had the wrong key.
    for words in ('PSK identity "alpha"', "SSL_accept: "):
        until(lambda words=words: words in server.log.read_text())
    log = server.log.read_text()
    for each in (alpha, beta):
        assert each.secret not in log


def test_the_last_key_revoked_closes_the_door(server: Server, keys: KeyFile, tmp_path: Path):
    """stunnel itself would go on with the keys it has."""
    keys.save(Keyring())
    assert server.process.wait(PATIENCE_S) is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


@needs_openssl
@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_1", "-cipher", "ALL@SECLEVEL=0"),
        ("-tls1_2",),  # without a key
        ("-tls1_3",),
        ("-tls1_2", "-cipher", "PSK-NULL-SHA256@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "PSK-AES128-CBC-SHA"),
    ],
    ids=["tls11", "tls12-no-key", "tls13-no-key", "no-encryption", "old-cipher"],
)
def test_old_versions_weak_ciphers_and_no_key(
    server: Server, keys: KeyFile, options: tuple[str, ...]
):
    key = keys.load().keys["alpha"]
    if "-cipher" in options:
        options = (*options, "-psk", key.key.hex(), "-psk_identity", "alpha")
    assert OPENSSL is not None
    done = s_client(server.port, *options, said=b"scan")
    assert done.returncode != 0
    assert b"scan" not in done.stdout
    until(lambda: "SSL_accept: " in server.log.read_text())
    assert server.process.poll() is None


def test_plain_tcp(server: Server):
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
        client.sendall(b"\x01\x00" + b"default.xml".ljust(1024, b"\0"))
        heard = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1024):
                heard += piece
    assert len(heard) < 100  # an alert, if anything
    until(lambda: "SSL_accept: " in server.log.read_text())
    assert server.process.poll() is None


def test_without_its_keys_it_does_not_start(tmp_path: Path):
    command = stunnel_files(tmp_path, tmp_path / "absent", 1, free_port())
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode != 0
    assert b"absent cannot be read" in done.stderr


def test_no_certificate_opens_the_door():
    conf = named(render("stunnel"), "ConfigMap", "gt1-stunnel")["data"]["stunnel.conf"]
    assert not re.search(r"^\s*cert\s*=", conf, re.MULTILINE)


def test_a_pod_without_keys_does_not_start():
    pod = named(render("stunnel"), "Deployment", "gt1-stunnel")["spec"]["template"]["spec"]
    (secret,) = [each["secret"] for each in pod["volumes"] if "secret" in each]
    assert secret["secretName"] == "stunnel"
    assert not secret.get("optional", False)


def test_it_leads_to_the_gateway_only():
    (policy,) = of_kind(render("stunnel"), "NetworkPolicy")
    _, to_gateway = policy["spec"]["egress"]
    assert to_gateway["to"] == [{"podSelector": {"matchLabels": {"elastron.dev/role": "gateway"}}}]


def test_low_ports_and_odd_hosts_are_refused():
    assert "listenPort" in refusal("stunnel", "stunnel.connections.gadgetron.listenPort=80")
    text = refusal("stunnel", "stunnel.connections.gadgetron.connectHost=a b")
    assert re.search("connectHost", text)
