"""Azure's package for VPN clients, made as the published ones are, and what becomes of it."""

from __future__ import annotations

import contextlib
import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cryptography", reason="of the extra `azure`")

from elastron.cloud.azure import vpn_profile
from elastron.cloud.azure.certificates import Certificate, make_client, make_root
from elastron.cloud.azure.vpn_profile import (
    ask_package,
    download,
    openvpn_profile,
    read_package,
    strongswan_profile,
)
from elastron.errors import CloudError, DataError
from tests.cloud.azure.vpn_package import SERVER, TEMPLATE, package_zip

NOW = datetime.now(UTC)
URL = "https://nfvprodsuppby.blob.core.windows.net/vpnprofile/x.zip?sig=SECRET"


@pytest.fixture(scope="module")
def client() -> Certificate:
    return make_client(make_root("root", now=NOW), "hospital-a", now=NOW)


def test_what_a_package_tells():
    package = read_package(package_zip())
    assert package.server == SERVER
    assert package.routes == ("10.224.0.0/16", "172.16.201.0/24")
    assert package.server_root == b"DER"
    assert package.openvpn is not None


def test_a_whole_openvpn_profile(client):
    text = openvpn_profile(read_package(package_zip()), client)
    assert "$" not in text
    assert f"<cert>\n{client.pem.decode().strip()}\n</cert>" in text
    assert f"<key>\n{client.key_pem.decode().strip()}\n</key>" in text
    assert f"remote {SERVER} 443" in text
    assert "\nlog " not in text
    assert "\r" not in text


def test_a_strongswan_profile(client):
    text = strongswan_profile(read_package(package_zip()), client)
    assert f"remote_addrs = {SERVER}" in text
    assert "remote_ts = 10.224.0.0/16, 172.16.201.0/24" in text
    assert "PRIVATE KEY" not in text
    assert text.count("{") == text.count("}")


def test_a_gateway_without_openvpn(client):
    package = read_package(package_zip(template=None))
    with pytest.raises(DataError, match=r"vpn\.protocols"):
        openvpn_profile(package, client)


def test_a_profile_without_blanks(client):
    package = read_package(package_zip(template=TEMPLATE.replace("$PRIVATEKEY", "")))
    with pytest.raises(DataError, match="no blanks"):
        openvpn_profile(package, client)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (None, "no Generic/VpnSettings.xml"),
        ("<VpnProfile/>", "does not tell"),
        ("<VpnProfile>", "cannot be read"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "cannot be read"),
    ],
)
def test_packages_that_are_none(settings, words):
    with pytest.raises(DataError, match=words):
        read_package(package_zip(settings=settings))


def test_members_that_are_too_large(monkeypatch):
    monkeypatch.setattr(vpn_profile, "_MEMBER_MAX", 10)
    with pytest.raises(DataError, match="too large"):
        read_package(package_zip())


@given(st.binary(max_size=200))
def test_whatever_is_no_zip(data):
    with pytest.raises(DataError):
        read_package(data)


@given(st.data())
def test_a_broken_zip_is_an_error_or_a_package(data):
    whole = bytearray(package_zip())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(DataError):
        read_package(bytes(whole))


class _Arm:
    def __init__(self, url: Any) -> None:
        self.url = url
        self.asked: list[tuple[str, Any]] = []

    def act(self, path: str, api_version: str, body: Any, what: str) -> Any:
        self.asked.append((path, body))
        return self.url


def test_it_is_asked_for(monkeypatch):
    arm = _Arm(URL)
    monkeypatch.setattr(vpn_profile, "download", lambda url: package_zip() if url == URL else b"")
    assert ask_package(arm, "/g", "2026-03-01").server == SERVER
    assert arm.asked == [("/g/generatevpnprofile", {"authenticationMethod": "EAPTLS"})]


@pytest.mark.parametrize(
    "url",
    ["", "None", "http://a.blob.core.windows.net/x", "https://example.org/x", "file:///etc/passwd"],
)
def test_only_from_where_azure_keeps_such_files(url):
    with pytest.raises(CloudError, match="tells no address"):
        download(url)


def _answer(monkeypatch, answer: httpx.Response | Exception) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == URL
        assert "authorization" not in request.headers
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stream(method: str, url: str, timeout: float) -> Any:
        return httpx.Client(transport=httpx.MockTransport(reply)).stream(method, url)

    monkeypatch.setattr(httpx, "stream", stream)


def test_download(monkeypatch):
    _answer(monkeypatch, httpx.Response(200, content=b"zip"))
    assert download(URL) == b"zip"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(403, content=b"x"), "HTTP 403"),
        (httpx.ConnectError(f"no way to {URL}"), "ConnectError"),
    ],
)
def test_a_failed_download_keeps_the_secret(monkeypatch, answer, words):
    _answer(monkeypatch, answer)
    with pytest.raises(CloudError, match=words) as caught:
        download(URL)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_endless_download_ends(monkeypatch):
    monkeypatch.setattr(vpn_profile, "_ZIP_MAX", 10)
    _answer(monkeypatch, httpx.Response(200, content=b"x" * 100))
    with pytest.raises(CloudError, match="too large"):
        download(URL)


def test_the_zip_is_as_azure_makes_it():
    with zipfile.ZipFile(io.BytesIO(package_zip())) as package:
        assert set(package.namelist()) >= {"OpenVPN/vpnconfig.ovpn", "Generic/VpnSettings.xml"}
