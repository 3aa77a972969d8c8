"""`elastron aks vpn` against the stand-in: gateway, certificates, profiles, revoking."""

from __future__ import annotations

import json
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("azure.mgmt.core", reason="of the extra `azure`")
pytest.importorskip("cryptography", reason="of the extra `azure`")

from elastron.cli import aks_vpn_doing
from elastron.cli.aks import app
from elastron.cli.aks_vpn_folder import VpnFolder
from elastron.cloud.azure import certificates, vpn_check, vpn_profile
from elastron.cloud.azure.certificates import Certificate
from elastron.errors import CloudError, ConfigError, ElastronError
from tests.cli.aks_azure import make_network, networked
from tests.cloud.azure.conftest import azure, door  # noqa: F401  - fixtures
from tests.cloud.azure.vpn_package import SERVER, package_zip

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch):
    monkeypatch.setattr(certificates, "_KEY_BITS", 2048)


@pytest.fixture
def aks(door, monkeypatch):  # noqa: F811
    """Run `elastron aks ...` against the stand-in."""
    networked(door, monkeypatch)
    monkeypatch.setattr(vpn_profile, "download", lambda url: package_zip())

    def invoke(*args: object, code: int = 0):
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return invoke


@pytest.fixture
def network(door):  # noqa: F811
    """A group with the network of a cluster."""
    make_network(door)


def _kept(azure, kind: str) -> list[dict]:  # noqa: F811
    return [item.body for item in azure.items.values() if item.type.lower().endswith(kind)]


# --- the folder -------------------------------------------------------------------------------


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_keeps_its_secrets(tmp_path):
    folder = VpnFolder(tmp_path / "mr-vpn", "mr")
    root, fresh = folder.ensure_root(NOW)
    assert fresh
    client, fresh = folder.ensure_client("hospital-a", NOW)
    assert fresh
    assert root.signed(client)
    assert _mode(tmp_path / "mr-vpn") == 0o700
    for name in ("root-1.key", "clients/hospital-a.key"):
        assert _mode(tmp_path / "mr-vpn" / name) == 0o600


def test_what_is_there_stays(tmp_path):
    folder = VpnFolder(tmp_path, "mr")
    root, _ = folder.ensure_root(NOW)
    client, _ = folder.ensure_client("a", NOW)
    again = VpnFolder(tmp_path, "mr")
    assert again.ensure_root(NOW) == (root, False)
    assert again.ensure_client("a", NOW) == (client, False)


def test_renewal(tmp_path):
    folder = VpnFolder(tmp_path, "mr")
    first, _ = folder.ensure_root(NOW)
    old, _ = folder.ensure_client("a", NOW)
    near_its_end = old.ends - timedelta(days=10)
    new, fresh = folder.ensure_client("a", near_its_end)
    assert fresh
    assert new.ends > old.ends
    assert {each.thumbprint for each in folder.issued("a")} == {old.thumbprint, new.thumbprint}
    second, fresh = folder.ensure_root(first.ends - timedelta(days=10))
    assert fresh
    assert [root.name for root in folder.roots()] == ["mr-root-1", "mr-root-2"]
    assert set(folder.public_roots(first.ends + timedelta(days=1))) == {second.name}
    assert folder.ensure_client("a", near_its_end)[1] is False  # its root is still there
    assert second.signed(folder.ensure_client("b", near_its_end)[0])


def test_names_of_sites_stay_in_the_folder(tmp_path):
    folder = VpnFolder(tmp_path / "in", "mr")
    folder.ensure_root(NOW)
    for site in ("../out", "/etc/x", "..", "a/b"):
        with pytest.raises(ConfigError, match="cannot name"):
            folder.ensure_client(site, NOW)
        with pytest.raises(ConfigError, match="cannot name"):
            folder.put(site, ".ovpn", "x")


def test_without_a_root_no_client(tmp_path):
    with pytest.raises(ConfigError, match="vpn up"):
        VpnFolder(tmp_path, "mr").ensure_client("a", NOW)


def test_a_damaged_folder_is_told(tmp_path):
    folder = VpnFolder(tmp_path, "mr")
    folder.ensure_root(NOW)
    (tmp_path / "root-1.key").write_text("nonsense")
    with pytest.raises(ConfigError, match=r"root-1\.crt"):
        folder.roots()


# --- the commands -----------------------------------------------------------------------------


def test_up_client_revoke_down(aks, network, door, tmp_path, monkeypatch):  # noqa: F811
    azure = door.azure  # noqa: F811
    plan = json.loads(aks("vpn", "up", "-n", "mr", "--plan", "--json").stdout)
    keys = [each["key"] for each in plan["changes"] if each["action"] == "create"]
    assert keys == ["vpn/address", "vpn/gateway"]
    assert not (tmp_path / "mr-vpn").exists()

    aks("vpn", "up", "-n", "mr", "--yes")
    (gateway,) = _kept(azure, "virtualnetworkgateways")
    clients = gateway["properties"]["vpnClientConfiguration"]
    (root,) = clients["vpnClientRootCertificates"]
    assert root["name"] == "mr-root-1"
    assert "PRIVATE" not in json.dumps(gateway)
    assert aks("vpn", "up", "-n", "mr").stdout.startswith("Azure: nothing to do")

    told = json.loads(aks("vpn", "client", "site-a", "-n", "mr", "--p12", "--json").stdout)
    assert told["new"] is True
    profile = tmp_path / "mr-vpn/clients/site-a.ovpn"
    assert str(profile.relative_to(tmp_path)) in told["files"]
    assert f"remote {SERVER} 443" in profile.read_text()
    assert _mode(profile) == 0o600
    assert (tmp_path / "mr-vpn/clients/site-a.p12").exists()
    assert "PRIVATE" not in json.dumps(told)
    assert json.loads(aks("vpn", "client", "site-a", "-n", "mr", "--json").stdout)["new"] is False

    rows = json.loads(aks("vpn", "ls", "-n", "mr", "--json").stdout)
    assert [(row["name"], row["kind"]) for row in rows] == [
        ("mr-root-1", "root"),
        ("site-a", "client"),
    ]
    assert "site-a" in aks("vpn", "ls", "-n", "mr").stdout

    aks("vpn", "revoke", "site-a", "-n", "mr", "--yes")
    (gateway,) = _kept(azure, "virtualnetworkgateways")
    clients = gateway["properties"]["vpnClientConfiguration"]
    assert [
        each["properties"]["thumbprint"] for each in clients["vpnClientRevokedCertificates"]
    ] == [told["thumbprint"]]
    assert len(clients["vpnClientRootCertificates"]) == 1
    assert not profile.exists()

    assert "delete" in aks("vpn", "down", "-n", "mr", "--plan").stdout
    assert _kept(azure, "virtualnetworkgateways")
    aks("vpn", "down", "-n", "mr", "--yes")
    assert not _kept(azure, "virtualnetworkgateways")
    assert not _kept(azure, "publicipaddresses")
    assert (tmp_path / "mr-vpn/root-1.key").exists()


def test_without_a_cluster(aks):
    with pytest.raises(CloudError, match="elastron aks up"):
        aks("vpn", "up", "-n", "mr", "--yes")


def test_client_without_a_gateway(aks, network, door):  # noqa: F811
    with pytest.raises(CloudError, match="vpn up"):
        aks("vpn", "client", "site-a", "-n", "mr")


def test_client_wants_a_name(aks):
    aks("vpn", "client", "-n", "mr", code=2)


def test_check(aks, tmp_path, monkeypatch):
    folder = VpnFolder(tmp_path / "mr-vpn", "mr")
    with pytest.raises(ConfigError, match="vpn client SITE"):
        aks("vpn", "client", "--check", "-n", "mr")
    folder.ensure_root(NOW)
    folder.keep_gateway(SERVER, ("10.224.0.0/16",), "{name: mr, vpn: {}}")
    monkeypatch.setattr(vpn_check, "source_address", lambda to: "172.16.201.2")
    monkeypatch.setattr(vpn_check, "local_networks", dict)
    assert aks("vpn", "client", "--check", "-n", "mr").stdout.count("✓") == 2
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"127.0.0.1:{server.getsockname()[1]}"
        found = json.loads(
            aks("vpn", "client", "--check", "-n", "mr", "--target", target, "--json").stdout
        )
        assert [each["ok"] for each in found] == [True, True, True]
    aks("vpn", "client", "--check", "-n", "mr", "--target", target, code=1)
    monkeypatch.setattr(vpn_check, "source_address", lambda to: "192.168.1.2")
    assert "connect the VPN first" in aks("vpn", "client", "--check", "-n", "mr", code=1).stdout


@pytest.mark.parametrize("target", ["x", "x:", ":1", "x:0", "x:99999"])
def test_targets_that_are_none(aks, tmp_path, target):
    VpnFolder(tmp_path / "mr-vpn", "mr").ensure_root(NOW)
    VpnFolder(tmp_path / "mr-vpn", "mr").keep_gateway(SERVER, (), "{name: mr, vpn: {}}")
    with pytest.raises(ElastronError, match="HOST:PORT"):
        aks("vpn", "client", "--check", "-n", "mr", "--target", target)


def test_certificates_never_show_their_keys(tmp_path):
    root, _ = VpnFolder(tmp_path, "mr").ensure_root(NOW)
    assert "PRIVATE" not in repr(root)
    assert isinstance(root, Certificate)
    assert aks_vpn_doing._row(root, "root").keys() == {
        "name",
        "kind",
        "issuer",
        "ends",
        "thumbprint",
    }
