"""`elastron aks` against the stand-in of Azure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

pytest.importorskip("azure.mgmt.core", reason="of the extra `azure`")

from elastron.cli import aks_up
from elastron.cli.aks import app
from elastron.cli.aks_options import describe
from elastron.errors import (
    CloudError,
    ConfigError,
    LoginError,
    NotAllowedError,
    NotOfferedError,
    QuotaError,
)
from tests.cli.aks_azure import networked
from tests.cloud.azure.conftest import azure, door  # noqa: F401  - fixtures

WEST = ("-n", "mr", "-l", "westeurope")


@pytest.fixture
def aks(door, monkeypatch):  # noqa: F811
    """Run `elastron aks ...` against the stand-in."""
    networked(door, monkeypatch)
    return _invoke


def _invoke(*args: object, code: int = 0):
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def _changes(door):  # noqa: F811
    return [seen.line for seen in door.seen if seen.changes]


# --- what options amount to -------------------------------------------------------------------


def test_the_originals_options(aks):
    text = aks(
        "export", "-n", "mr", "-l", "eastus", "-s", "Standard_D2s_v5", "-u", "Standard_NC4as_T4_v3",
        "--as", "yaml",
    ).stdout  # fmt: skip
    told = yaml.safe_load(text)
    assert told["name"] == "mr"
    assert told["location"] == "eastus"
    assert told["system_pool"]["vm_size"] == "Standard_D2s_v5"
    assert told["pools"]["userpool"]["vm_size"] == "Standard_NC4as_T4_v3"


def test_options_win_over_the_file(tmp_path):
    file = tmp_path / "aks.yaml"
    file.write_text("name: one\nlocation: eastus\npools:\n  gpu: {vm_size: Standard_NC4as_T4_v3}\n")
    made = describe(
        "two", file, "group", sets=["pools.gpu.max=3", "network.internal_load_balancer=true"]
    )
    assert (made.name, made.location, made.group) == ("two", "eastus", "group")
    assert made.pools["gpu"].max == 3
    assert made.network.internal_load_balancer


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["x"], "KEY=VALUE"),
        (["=1"], "KEY=VALUE"),
        (["a..b=1"], "KEY=VALUE"),
        (["name.x=1"], "holds a value"),
        (["pools.gpu={"], "not YAML"),
        (["pools.gpu.maxi=1"], "no such key"),
        (["pools.gpu.max=none"], r"pools\.gpu\.max"),
    ],
)
def test_sets_that_are_wrong(sets, words):
    with pytest.raises(ConfigError, match=words):
        describe("mr", None, sets=sets)


@pytest.mark.parametrize("name", ["-a", "a" * 64, "a b", "a.b", ""])
def test_names_that_azure_would_refuse(name):
    with pytest.raises(ConfigError):
        describe(name, None)


def test_without_a_name():
    with pytest.raises(ConfigError, match="--name"):
        describe(None, None)


# --- plans ------------------------------------------------------------------------------------


def test_a_plan_changes_nothing(aks, door):  # noqa: F811
    told = json.loads(aks("up", *WEST, "--plan", "--json").stdout)
    assert told["name"] == "mr"
    assert {each["action"] for each in told["changes"]} == {"create"}
    assert told["estimate"]["monthMax"] > told["estimate"]["monthMin"] > 0
    assert told["findings"] == []
    shown = aks("up", *WEST, "--plan").stdout
    assert "ContainerService/managedClusters" in shown
    assert "to create" in shown
    assert "a month" in shown
    assert _changes(door) == []


def test_up_is_what_the_plan_says(aks, door, monkeypatch, tmp_path):  # noqa: F811
    handed = _hand_over(monkeypatch)
    plan = json.loads(aks("up", *WEST, "--plan", "--json").stdout)
    done = aks("up", *WEST, "--yes", "--json", "--kubeconfig", tmp_path / "config")
    assert json.loads(done.stdout)["changes"] == plan["changes"]
    assert len(_changes(door)) == len(plan["changes"])
    assert handed == [("mr", tmp_path / "config")]
    again = json.loads(aks("up", *WEST, "--plan", "--json").stdout)
    assert {each["action"] for each in again["changes"]} == {"keep"}
    status = json.loads(aks("status", "-n", "mr", "--json").stdout)
    assert status["state"] == "Succeeded"
    assert status["well"] is True
    assert "userpool" in aks("status", "-n", "mr").stdout


def test_without_anybody_to_ask(aks, door):  # noqa: F811
    with pytest.raises(ConfigError, match="--yes"):
        aks("up", *WEST)
    assert _changes(door) == []


def test_saying_no(aks, door, monkeypatch):  # noqa: F811
    monkeypatch.setattr(aks_up, "agreed", lambda question, yes: False)
    aks("up", *WEST, code=1)
    assert _changes(door) == []


# --- what stands against it -------------------------------------------------------------------


def test_nobody_is_logged_in(door, monkeypatch):  # noqa: F811
    networked(door, monkeypatch, token="old-token")  # noqa: S106  - no password
    with pytest.raises(LoginError, match="az login"):
        _invoke("up", *WEST, "--yes")


def test_no_permission(aks, azure, door):  # noqa: F811
    azure.permissions = [{"actions": ["*/read"], "notActions": []}]
    with pytest.raises(NotAllowedError, match="Contributor"):
        aks("up", *WEST, "--yes", "--json")
    assert _changes(door) == []
    aks("up", *WEST, "--plan", code=1)
    told = json.loads(aks("up", *WEST, "--plan", "--json", code=1).stdout)
    assert [each["about"] for each in told["findings"]] == ["permission"]


def test_no_such_size_and_no_quota(aks, azure):  # noqa: F811
    with pytest.raises(NotOfferedError, match="Standard_Nope_v9"):
        aks("up", *WEST, "-u", "Standard_Nope_v9", "--yes", "--json")
    azure.places.cores_max["cores"] = 2
    with pytest.raises(QuotaError, match="limit 2"):
        aks("up", *WEST, "--yes", "--json")


def test_no_such_location(aks, door):  # noqa: F811
    with pytest.raises(CloudError, match="location"):
        aks("up", "-n", "mr", "-l", "nowhere", "--yes", "--json")
    assert _changes(door) == []


# --- pools, credentials, down -----------------------------------------------------------------


@pytest.fixture
def cluster(aks, monkeypatch, tmp_path):
    """A cluster that is there."""
    _hand_over(monkeypatch)
    aks("up", *WEST, "--yes", "--json", "--kubeconfig", tmp_path / "config")


def test_pools(aks, cluster):
    gpu = ("gpu", "-n", "mr", "-u", "Standard_NC4as_T4_v3", "--max", 2, "--label", "site=north")
    plan = json.loads(aks("pools", "add", *gpu, "--plan", "--json").stdout)
    assert [(each["action"], each["key"]) for each in plan["changes"]] == [("create", "pool/gpu")]
    aks("pools", "add", *gpu, "--yes")
    rows = {row["name"]: row for row in json.loads(aks("pools", "ls", "-n", "mr", "--json").stdout)}
    assert set(rows) == {"system", "userpool", "gpu"}
    assert "sku=gpu:NoSchedule" in rows["gpu"]["taints"]
    assert rows["gpu"]["max"] == 2
    assert "gpu" in aks("pools", "ls", "-n", "mr").stdout
    assert "nothing to do" in aks("pools", "add", *gpu).stdout
    aks("pools", "rm", "gpu", "-n", "mr", "--yes")
    assert "gpu" not in aks("pools", "ls", "-n", "mr").stdout
    with pytest.raises(CloudError, match="system pool"):
        aks("pools", "rm", "system", "-n", "mr", "--yes")


def test_credentials(aks, cluster, tmp_path):
    path = tmp_path / "kube/config"
    aks("credentials", "-n", "mr", "--kubeconfig", path)
    config = yaml.safe_load(path.read_text())
    assert config["current-context"] == "mr"
    assert path.stat().st_mode & 0o077 == 0
    assert "clusters:" in aks("credentials", "-n", "mr", "--stdout").stdout


def test_down(aks, cluster, door, azure, tmp_path):  # noqa: F811
    before = len(_changes(door))
    told = json.loads(aks("down", "-n", "mr", "--plan", "--json").stdout)
    assert {each["action"] for each in told["changes"]} == {"delete"}
    assert len(_changes(door)) == before
    with pytest.raises(ConfigError, match="--yes"):
        aks("down", "-n", "mr")
    aks("down", "-n", "mr", "--yes", "--kubeconfig", tmp_path / "config")
    assert azure.named() == []
    aks("down", "-n", "mr", "--yes", "--kubeconfig", tmp_path / "config")
    aks("status", "-n", "mr", code=1)


def test_commands_for_a_cluster_that_is_not_there(aks):
    for command in (("pools", "ls"), ("pools", "rm", "gpu"), ("credentials",)):
        with pytest.raises(CloudError):
            aks(*command, "-n", "mr")


# --- export and prices ------------------------------------------------------------------------


def test_export_needs_no_login(tmp_path):
    path = tmp_path / "template.json"
    _invoke("export", *WEST, "-o", path)
    template = json.loads(path.read_text())
    assert template["resources"]
    assert json.loads(_invoke("export", *WEST).stdout) == template
    with pytest.raises(ConfigError, match="arm or yaml"):
        _invoke("export", *WEST, "--as", "terraform")


def test_exported_yaml_is_a_description(tmp_path):
    path = tmp_path / "aks.yaml"
    _invoke("export", *WEST, "--as", "yaml", "--defaults", "-o", path)
    assert describe(None, path) == describe("mr", None, values={"location": "westeurope"})


# --- missing packages -------------------------------------------------------------------------


def test_without_azures_packages(tmp_path):
    script = (
        "import sys\n"
        "for name in ('azure', 'azure.core', 'msal', 'cryptography'): sys.modules[name] = None\n"
        "from elastron.cli.aks import app\n"
        "from elastron.errors import ConfigError\n"
        "for words in (['status', '-n', 'a'], ['up', '-n', 'a'], ['down', '-n', 'a'],\n"
        "              ['vpn', 'ls', '-n', 'a'], ['pools', 'ls', '-n', 'a']):\n"
        "    try: app(words)\n"
        "    except ConfigError as error: print(error)\n"
        "app(['export', '-n', 'a', '--as', 'yaml'], standalone_mode=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == "name: a"
    assert len(lines) == 5
    assert all("pip install 'elastron[azure]'" in line for line in lines)


def _hand_over(monkeypatch) -> list[tuple[str, Path | None]]:
    """Stands for what is installed into the cluster; that has tests of its own."""
    handed: list[tuple[str, Path | None]] = []

    class Done:
        def to_json(self) -> dict[str, str]:
            return {}

    def hand_over(aks, answers, arm, login, *, kubeconfig=None, progress=None):
        assert answers["cluster"]["properties"]["provisioningState"] == "Succeeded"
        handed.append((aks.name, kubeconfig))
        return Done()

    import types

    module = types.ModuleType("elastron.cloud.azure.handover")
    module.hand_over = hand_over
    monkeypatch.setitem(sys.modules, "elastron.cloud.azure.handover", module)
    return handed
