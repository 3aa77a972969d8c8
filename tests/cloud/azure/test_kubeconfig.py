"""Credentials: fetched, merged into what is there, taken out again; nothing else is touched."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from elastron.cloud.azure.arm import Arm
from elastron.cloud.azure.description import make_aks
from elastron.cloud.azure.kubeconfig import default_path, fetch, merge, remove, with_cli_login
from elastron.errors import CloudError, ConfigError
from tests.cloud.azure.arm_door import Door
from tests.cloud.azure.arm_state import SUBSCRIPTION
from tests.cloud.azure.conftest import engine_to

CLUSTER = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/scans-rg/providers"
    "/Microsoft.ContainerService/managedClusters/scans"
)


def config(name: str, server: str, user: str = "") -> dict[str, Any]:
    user = user or f"clusterUser_{name}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "users": [{"name": user, "user": {"token": f"secret-of-{name}"}}],
        "current-context": name,
    }


def aks(name: str, number: str = "1a2b3c4d") -> dict[str, Any]:
    return config(name, f"https://{name}-{number}.hcp.westus2.azmk8s.io:443")


def names(path: Path, table: str) -> list[str]:
    return [one["name"] for one in yaml.safe_load(path.read_text())[table]]


def test_fetched_from_azure(door: Door, arm: Arm) -> None:
    engine = engine_to(door)
    engine.carry_out(engine.propose(make_aks({"name": "scans"})))
    got = yaml.safe_load(fetch(arm, CLUSTER))
    assert got["current-context"] == "scans"
    assert door.seen[-1].query["format"] == "exec"
    assert yaml.safe_load(fetch(arm, CLUSTER, admin=True))["current-context"] == "scans-admin"


def test_no_cluster_gives_none(arm: Arm) -> None:
    with pytest.raises(CloudError):
        fetch(arm, CLUSTER)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / ".kube" / "config"
    assert merge(path, yaml.safe_dump(aks("scans"))) == "scans"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(path, "clusters") == ["scans"]
    assert list(path.parent.iterdir()) == [path]


def test_what_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "config"
    other = config("minikube", "https://127.0.0.1:8443") | {"preferences": {"colors": True}}
    path.write_text(yaml.safe_dump(other))
    path.chmod(0o644)
    merge(path, yaml.safe_dump(aks("scans")))
    merge(path, yaml.safe_dump(aks("scans")))
    assert names(path, "clusters") == ["minikube", "scans"]
    assert names(path, "users") == ["clusterUser_minikube", "clusterUser_scans"]
    got = yaml.safe_load(path.read_text())
    assert got["preferences"] == {"colors": True}
    assert got["current-context"] == "scans"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert remove(path, "scans")
    got = yaml.safe_load(path.read_text())
    assert got == other | {"current-context": ""}
    assert not remove(path, "scans")
    assert not remove(path, "minikube")  # none of Azure's
    assert not remove(tmp_path / "absent", "scans")


def test_another_cluster_of_that_name_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config("scans", "https://10.0.0.1:6443")))
    before = path.read_text()
    with pytest.raises(ConfigError, match="--overwrite") as caught:
        merge(path, yaml.safe_dump(aks("scans")))
    assert "secret" not in str(caught.value)
    assert path.read_text() == before
    merge(path, yaml.safe_dump(aks("scans")), overwrite=True)
    merge(path, yaml.safe_dump(aks("scans", "99aa88bb")))  # deleted and made again
    assert "99aa88bb" in path.read_text()


def test_users_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge(path, yaml.safe_dump(aks("scans")))
    both = yaml.safe_load(path.read_text())
    both["contexts"].append(
        {"name": "mine", "context": {"cluster": "other", "user": "clusterUser_scans"}}
    )
    path.write_text(yaml.safe_dump(both))
    remove(path, "scans")
    assert names(path, "users") == ["clusterUser_scans"]
    assert names(path, "contexts") == ["mine"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("")
    link.symlink_to(real)
    merge(link, yaml.safe_dump(aks("scans")))
    assert link.is_symlink()
    assert names(real, "clusters") == ["scans"]


@pytest.mark.parametrize("text", ["[1, 2]", "clusters: 7", "token: {secret: [", "contexts: [x]"])
def test_what_is_no_kubeconfig_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ConfigError, match="no kubeconfig") as caught:
        merge(path, yaml.safe_dump(aks("scans")))
    assert "secret" not in str(caught.value)
    assert path.read_text() == text


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be"):
        merge(tmp_path / "file" / "config", yaml.safe_dump(aks("scans")))


def test_where_kubectl_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert default_path() == Path.home() / ".kube" / "config"
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert default_path() == tmp_path / "a"


def test_kubelogin_is_sent_to_the_azure_cli() -> None:
    entra = aks("scans")
    call = {"command": "kubelogin", "args": ["get-token", "--login", "devicecode", "--x"]}
    entra["users"][0]["user"] = {"exec": call}
    got = yaml.safe_load(with_cli_login(yaml.safe_dump(entra)))
    assert got["users"][0]["user"]["exec"]["args"] == ["get-token", "--login", "azurecli", "--x"]
    assert yaml.safe_load(with_cli_login(yaml.safe_dump(aks("scans")))) == aks("scans")
