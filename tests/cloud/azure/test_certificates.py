"""Certificates made for a VPN: checked by openssl where it is installed, and by their fields."""

from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("cryptography", reason="of the extra `azure`")

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12 as files

from elastron.cloud.azure.certificates import (
    CLIENT_DAYS,
    RENEW_BEFORE,
    Certificate,
    check_name,
    make_client,
    make_root,
    pkcs12,
    read_certificate,
)
from elastron.errors import ConfigError

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def root() -> Certificate:
    return make_root("mr-root-1", now=NOW)


@pytest.fixture(scope="module")
def client(root) -> Certificate:
    return make_client(root, "hospital-a", now=NOW)


def test_who_signed_whom(root, client):
    assert (root.name, root.issuer) == ("mr-root-1", "mr-root-1")
    assert (client.name, client.issuer) == ("hospital-a", "mr-root-1")
    assert root.signed(client)
    assert root.signed(root)
    assert not client.signed(root)


def test_what_they_may_be_used_for(root, client):
    of_root = x509.load_pem_x509_certificate(root.pem).extensions
    assert of_root.get_extension_for_class(x509.BasicConstraints).value.ca
    of_client = x509.load_pem_x509_certificate(client.pem).extensions
    assert not of_client.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = of_client.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each.dotted_string for each in purposes] == ["1.3.6.1.5.5.7.3.2"]


def test_how_long(root, client):
    assert client.ends == NOW + timedelta(days=CLIENT_DAYS)
    assert not client.is_old(NOW)
    assert client.is_old(client.ends - RENEW_BEFORE + timedelta(seconds=1))


def test_a_client_does_not_outlive_its_root(root):
    late = root.ends - timedelta(days=10)
    assert make_client(root, "late", now=late).ends == root.ends
    with pytest.raises(ConfigError, match="ended on"):
        make_client(root, "later", now=root.ends)


def test_public_data_is_what_azure_takes(root):
    assert "\n" not in root.public_data
    again = x509.load_der_x509_certificate(base64.b64decode(root.public_data))
    assert again == x509.load_pem_x509_certificate(root.pem)
    assert b"PRIVATE" not in root.pem


def test_kept_ones_are_read_again(root, client):
    assert read_certificate(client.pem, client.key_pem, source="a") == client
    with pytest.raises(ConfigError, match="does not belong"):
        read_certificate(client.pem, root.key_pem, source="a")
    with pytest.raises(ConfigError, match=r"here: no certificate"):
        read_certificate(b"", client.key_pem, source="here")
    with pytest.raises(ConfigError, match=r"here: no certificate"):
        read_certificate(client.pem, b"-----BEGIN", source="here")


def test_pkcs12_holds_all_three(root, client):
    bundle = files.load_pkcs12(pkcs12(client, root, "secret"), b"secret")
    assert bundle.cert is not None
    assert bundle.cert.certificate == x509.load_pem_x509_certificate(client.pem)
    assert [each.certificate for each in bundle.additional_certs] == [
        x509.load_pem_x509_certificate(root.pem)
    ]
    assert bundle.key is not None
    with pytest.raises(ValueError, match="password"):
        files.load_pkcs12(pkcs12(client, root, "secret"), b"wrong")


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a" * 65, "a b", "ä", "a\n", "-x"])
def test_names_that_cannot_be(name):
    with pytest.raises(ConfigError, match="cannot name"):
        check_name(name)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_agrees(tmp_path, root, client):
    (tmp_path / "root.crt").write_bytes(root.pem)
    (tmp_path / "client.crt").write_bytes(client.pem)

    def openssl(*arguments: str) -> str:
        command = ["openssl", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    answer = openssl("verify", "-purpose", "sslclient", "-CAfile", "root.crt", "client.crt")
    assert answer.strip() == "client.crt: OK"
    print_of = openssl("x509", "-in", "client.crt", "-noout", "-fingerprint", "-sha1")
    assert print_of.strip().rpartition("=")[2].replace(":", "") == client.thumbprint
