"""The stunnel chart's own configuration, run by the real stunnel."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helm.harness import named, of_kind, refusal, render

KEY_A = "alpha:" + "QWxhZGRpbjpvcGVuIHNlc2FtZTEyMzQ1Njc4"
KEY_B = "beta:" + "c29tZXRoaW5nLWVsc2UtMTIzNDU2Nzg5MDEy"
WAIT_S = 30.0


@pytest.fixture
def stunnel() -> str:
    found = shutil.which("stunnel") or shutil.which("stunnel4")
    if found is None:
        pytest.skip("stunnel is not installed; .ci/run brings it")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says back what it hears."""
    listener = socket.create_server(("127.0.0.1", 0))

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


@contextlib.contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(WAIT_S)


@pytest.fixture
def server(stunnel: str, echo: int, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """stunnel as the chart's pod runs it; its port and its file of keys."""
    data = named(render("stunnel"), "ConfigMap", "gt1-stunnel")["data"]
    port, keys = _free_port(), tmp_path / "stunnel.secrets"
    keys.write_text(KEY_A + "\n")
    keys.chmod(0o600)
    conf = data["stunnel.conf"].replace("/secrets/stunnel.secrets", str(keys))
    conf = conf.replace(":::9002", f"127.0.0.1:{port}")
    conf = conf.replace("gt1-gadgetron:9002", f"127.0.0.1:{echo}")
    (tmp_path / "stunnel.conf").write_text(conf)
    script = tmp_path / "run.sh"
    script.write_text(data["run.sh"].replace('stunnel "$conf"', f'{stunnel} "$conf"'))
    command = ["/bin/sh", str(script), str(tmp_path / "stunnel.conf"), str(keys), "0.2"]
    with _running(command, port, tmp_path / "server.log"):
        yield port, keys


def _through(stunnel: str, server: int, key: str, folder: Path, *options: str) -> bool:
    """Whether a client with this key gets an echo."""
    folder.mkdir()
    port = _free_port()
    secrets = folder / "stunnel.secrets"
    secrets.write_text(key + "\n")
    secrets.chmod(0o600)
    conf = folder / "stunnel.conf"
    conf.write_text(
        "foreground = yes\npid =\nsyslog = no\n[gadgetron]\nclient = yes\n"
        f"accept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{server}\nPSKsecrets = {secrets}\n"
        + "".join(f"{option}\n" for option in options)
    )
    with (
        _running([stunnel, str(conf)], port, folder / "log"),
        socket.create_connection(("127.0.0.1", port), WAIT_S) as client,
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
    stunnel: str, server: tuple[int, Path], tmp_path: Path, options: tuple[str, ...]
):
    assert _through(stunnel, server[0], KEY_A, tmp_path / "client", *options)


def test_keys_change_without_a_restart(stunnel: str, server: tuple[int, Path], tmp_path: Path):
    port, keys = server
    assert not _through(stunnel, port, KEY_B, tmp_path / "before")
    keys.write_text(f"{KEY_A}\n{KEY_B}\n")
    deadline = time.monotonic() + WAIT_S
    tries = 0
    while not _through(stunnel, port, KEY_B, tmp_path / f"after{tries}"):
        assert time.monotonic() < deadline
        tries += 1
    assert _through(stunnel, port, KEY_A, tmp_path / "still")


def test_tls_1_1_and_no_key_are_refused(server: tuple[int, Path]):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed; .ci/run brings it")
    for option in ("-tls1_1", "-tls1_3", "-tls1_2"):
        done = subprocess.run(
            [openssl, "s_client", "-connect", f"127.0.0.1:{server[0]}", option],
            input=b"scan",
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode != 0
        assert b"scan" not in done.stdout


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
