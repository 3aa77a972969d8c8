"""The server as a process: start, stop, ports, TLS, parents."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from elastron.errors import ConfigError, StorageError
from elastron.storage import StorageSettings
from elastron.storage.problems import SchemaTooNewError

from .parts import (
    ANSWER_S,
    LAUNCHER,
    ServerProcess,
    connect,
    folder_settings,
    raw_exchange,
    receive_all,
    request_bytes,
    running_server,
    wait_until,
)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(folder_settings(tmp_path), tmp_path / "log")
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_request_is_finished(process: ServerProcess, number: int) -> None:
    with connect(process.url) as upload:
        head = request_bytes("POST", "/v1/blobs/data?subject=s", "Content-Length: 8")
        upload.sendall(head + b"half")
        wait_until(
            lambda: (
                b"elastron_storage_uploads 1.0"
                in raw_exchange(process.url, request_bytes("GET", "/metrics"))
            ),
            "the upload did not begin",
        )
        process.process.send_signal(number)
        wait_until(lambda: not _listens(process.url), "the server goes on listening")
        upload.sendall(b"half")
        assert receive_all(upload).startswith(b"HTTP/1.1 201 ")
    assert process.close() == 0
    log = process.log.read_text()
    assert "storage server stopped" in log
    assert "Traceback" not in log


def _listens(url: str) -> bool:
    try:
        connect(url).close()
    except OSError:
        return False
    return True


def test_what_is_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    for start in range(2):
        server = ServerProcess(folder_settings(tmp_path), tmp_path / "log")
        with httpx.Client(base_url=server.url, timeout=ANSWER_S, trust_env=False) as client:
            if start == 0:
                client.post("/v1/blobs/data?subject=s", content=b"kept").raise_for_status()
            assert client.get("/v1/blobs/data/latest?subject=s").content == b"kept"
        assert server.end(signal.SIGTERM) == 0
    assert list((tmp_path / "blobs" / ".uploads").iterdir()) == []


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """The Gadgetron starts its own server, and passes its own process id."""
    settings = StorageSettings(**folder_settings(tmp_path))
    text = settings.model_dump_json(exclude={"token", "database_password"})
    parent_code = """
import json, os, subprocess, sys, time
settings = json.loads(sys.argv[2]) | {"require_parent_pid": os.getpid()}
child = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1], json.dumps(settings)], stdout=subprocess.PIPE, text=True
)
print(child.stdout.readline().strip(), child.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent_code, LAUNCHER, text],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        url, child = parent.stdout.readline().split()
        assert _listens(url)
        parent.kill()
    wait_until(lambda: not _lives(int(child)), "the server outlives its parent")


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # in a container nobody may be there to bury it


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with running_server(StorageSettings(**folder_settings(tmp_path / "1"))) as url:
        settings = StorageSettings(
            **folder_settings(tmp_path / "2"),
        )
        taken = settings.model_copy(update={"port": httpx.URL(url).port})
        with pytest.raises(ConfigError, match="Cannot listen"), running_server(taken):
            pass


def test_an_open_port_is_refused(tmp_path: Path) -> None:
    settings = StorageSettings(**folder_settings(tmp_path), host="0.0.0.0")  # noqa: S104
    with pytest.raises(ConfigError, match="anybody"), running_server(settings):
        pass


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    import sqlite3

    settings = StorageSettings(**folder_settings(tmp_path))
    with running_server(settings):
        pass
    with sqlite3.connect(settings.database) as connection:
        connection.execute("INSERT INTO schema_versions VALUES (99, 'complete')")
    connection.close()
    with pytest.raises(SchemaTooNewError), running_server(settings):
        pass


def test_a_blob_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file in the way")
    with pytest.raises(StorageError), running_server(StorageSettings(**folder_settings(tmp_path))):
        pass


def test_other_users_cannot_read_the_data(tmp_path: Path) -> None:
    settings = StorageSettings(**folder_settings(tmp_path / "data"))
    with (
        running_server(settings) as url,
        httpx.Client(base_url=url, timeout=ANSWER_S, trust_env=False) as client,
    ):
        client.post("/v1/blobs/data?subject=s", content=b"x").raise_for_status()
        made = [path for path in (tmp_path / "data").rglob("*") if path.exists()]
        assert len(made) > 6
        for path in made:
            assert path.stat().st_mode & 0o007 == 0 or path.parent.stat().st_mode & 0o007 == 0


def test_a_database_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = StorageSettings(**folder_settings(tmp_path / "file"))
    with pytest.raises(ConfigError, match="cannot be opened"), running_server(settings):
        pass


def test_two_servers_share_their_stores(tmp_path: Path) -> None:
    settings = StorageSettings(**folder_settings(tmp_path))
    with (
        running_server(settings) as first,
        running_server(settings) as second,
        httpx.Client(timeout=ANSWER_S, trust_env=False) as client,
    ):
        made = [
            client.post(f"{url}/v1/blobs/data?subject=s&n={n}", content=b"x").json()
            for n in range(10)
            for url in (first, second)
        ]
        for url in (first, second):
            assert len(client.get(f"{url}/v1/blobs?subject=s").json()["items"]) == 20
        path = httpx.URL(made[0]["location"]).raw_path.decode()
        assert client.delete(second + path).status_code == 204
        assert client.get(first + path).status_code == 404


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server's and a client's certificate by it."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("certificates")

    def make(name: str, issuer=None):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer_name, issuer_key = issuer or (subject, key)
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return subject, key

    authority = make("authority")
    make("server", authority)
    make("client", authority)
    make("stranger")
    return folder


def test_tls_with_client_certificates(tmp_path: Path, certificates: Path) -> None:
    settings = StorageSettings(
        **folder_settings(tmp_path),
        tls_certificate=certificates / "server.pem",
        tls_key=certificates / "server.key",
        tls_client_ca=certificates / "authority.pem",
    )
    trust = ssl.create_default_context(cafile=str(certificates / "authority.pem"))
    with running_server(settings) as address:
        assert address.startswith("https://")
        url = address.replace("127.0.0.1", "localhost")
        with (
            httpx.Client(verify=trust, timeout=ANSWER_S, trust_env=False) as nobody,
            pytest.raises(httpx.TransportError),
        ):
            nobody.get(f"{url}/healthcheck")
        known = ssl.create_default_context(cafile=str(certificates / "authority.pem"))
        known.load_cert_chain(certificates / "client.pem", certificates / "client.key")
        with httpx.Client(verify=known, timeout=ANSWER_S, trust_env=False) as client:
            made = client.post(f"{url}/v1/blobs/data?subject=s", content=b"x").json()
            assert made["location"].startswith("https://localhost:")
            assert client.get(made["data"]).content == b"x"


def test_memory_stays_flat(process: ServerProcess) -> None:
    """Uploads and downloads are streamed: memory does not grow with the blobs."""
    size = 192 << 20
    block = os.urandom(1 << 20)

    def body() -> Iterator[bytes]:
        for _ in range(size >> 20):
            yield block

    def one(number: int) -> None:
        with httpx.Client(base_url=process.url, timeout=120, trust_env=False) as client:
            made = client.post(f"/v1/blobs/data?subject=s{number}", content=body()).json()
            with client.stream("GET", made["data"]) as answer:
                assert sum(len(chunk) for chunk in answer.iter_raw()) == size
            assert client.delete(made["location"]).status_code == 204

    with httpx.Client(base_url=process.url, timeout=ANSWER_S, trust_env=False) as client:
        client.get(client.post("/v1/blobs/data?subject=s", content=b"warm").json()["data"])
    before = process.resident_bytes
    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.resident_bytes - before < 48 << 20


def test_an_idle_connection_does_not_hold_up_the_end(process: ServerProcess) -> None:
    with connect(process.url) as idle:
        idle.sendall(request_bytes("GET", "/healthcheck").replace(b"Connection: close\r\n", b""))
        assert idle.recv(1000).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        assert process.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 25, "it waited for the client, which has thirty seconds"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_an_empty_host_is_every_one(tmp_path: Path, host: str) -> None:
    settings = StorageSettings.model_validate(
        folder_settings(tmp_path, host="", allow_insecure=True)
    )
    with running_server(settings) as url:
        address = url.replace("http://:", f"http://{host}:")
        try:
            assert (
                httpx.get(f"{address}/healthcheck", timeout=ANSWER_S, trust_env=False).status_code
                == 200
            )
        except httpx.ConnectError:
            if host == "127.0.0.1" or socket.has_dualstack_ipv6():
                raise
            pytest.skip("no IPv6 here")
