"""The profile that clients get, in front of a real OpenVPN with the gateway's settings."""

from __future__ import annotations

import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="of the extra `azure`")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from elastron.cloud.azure.certificates import Certificate, make_client, make_root
from elastron.cloud.azure.vpn_profile import openvpn_profile, read_package
from tests.cloud.azure.vpn_package import GATEWAY, SERVER, TEMPLATE, package_zip
from tests.ports import free_port

OPENVPN = shutil.which("openvpn", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/sbin")
pytestmark = pytest.mark.skipif(OPENVPN is None, reason="openvpn is not installed")

NOW = datetime.now(UTC)
PATIENCE_S = 60


class Said:
    """Lines of a program, as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._all: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def end(self) -> None:
        """Read on to the end; the program has ended."""
        self._reader.join(PATIENCE_S)

    def wait(self, *words: str) -> str:
        """The first of `words` that is said."""
        ends = time.monotonic() + PATIENCE_S
        while True:
            line = self._lines.get(timeout=max(0.1, ends - time.monotonic()))
            assert line is not None, "".join(self._all)
            self._all.append(line)
            for each in words:
                if each in line:
                    return each


@contextmanager
def _running(folder: Path, *args: str) -> Iterator[Said]:
    assert OPENVPN is not None
    process = subprocess.Popen(
        [OPENVPN, *args, "--dev", "null", "--verb", "3"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = Said(process)
    try:
        yield said
    finally:
        process.kill()
        process.wait()
        said.end()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def root() -> Certificate:
    return make_root("mr-root-1", now=NOW)


@pytest.fixture
def gateway(root, tmp_path) -> Iterator[tuple[Said, str]]:
    """A server as the gateway is one; it trusts the root. With the profile for its clients."""
    authority = make_root("gateway-root", now=NOW)
    _write_server(tmp_path, authority)
    (tmp_path / "root.crt").write_bytes(root.pem)
    port = free_port()
    server = f"--local 127.0.0.1 --lport {port} --proto tcp-server --tls-server"
    keys = "--ca root.crt --cert gateway.crt --key gateway.key --dh none --auth SHA256"
    with _running(
        tmp_path, *server.split(), *keys.split(), "--data-ciphers", "AES-256-GCM"
    ) as said:
        said.wait("Listening for incoming TCP")
        template = TEMPLATE.replace("dev tun\r\n", "").replace(
            "# P2S client certificate", f"<ca>\r\n{authority.pem.decode()}</ca>\r\n\r\n# P2S client"
        )
        template = template.replace(f"remote {SERVER} 443", f"remote 127.0.0.1 {port}")
        yield said, template


def _write_server(folder: Path, authority: Certificate) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signer = serialization.load_pem_private_key(authority.key_pem, None)
    assert isinstance(signer, rsa.RSAPrivateKey)
    issuer = x509.load_pem_x509_certificate(authority.pem).subject
    usage = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, GATEWAY)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_encipherment=True, **usage), critical=True
        )
        .sign(signer, hashes.SHA256())
    )
    (folder / "gateway.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "gateway.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _profile(folder: Path, template: str, client: Certificate) -> None:
    text = openvpn_profile(read_package(package_zip(template=template)), client)
    path = folder / "client.ovpn"
    path.touch(mode=0o600)
    path.write_text(text)


def test_a_client_dials_in_with_its_profile_alone(gateway, root, tmp_path):
    said, template = gateway
    _profile(tmp_path, template, make_client(root, "site-a", now=NOW))
    with _running(tmp_path, "--config", "client.ovpn") as client:
        assert client.wait("Initialization Sequence Completed", "ERROR") != "ERROR"
        said.wait("[site-a] Peer Connection Initiated")


def test_a_client_of_another_root_does_not(gateway, tmp_path):
    said, template = gateway
    stranger = make_client(make_root("mr-root-1", now=NOW), "site-a", now=NOW)
    _profile(tmp_path, template, stranger)
    with _running(tmp_path, "--config", "client.ovpn", "--connect-retry-max", "1"):
        said.wait("VERIFY ERROR")


def test_a_gateway_that_is_none_is_not_dialled(gateway, root, tmp_path):
    _, template = gateway
    elsewhere = template.replace(GATEWAY, "another.vpn.azure.com")
    _profile(tmp_path, elsewhere, make_client(root, "site-a", now=NOW))
    with _running(tmp_path, "--config", "client.ovpn", "--connect-retry-max", "1") as client:
        client.wait("VERIFY X509NAME ERROR")
