"""`elastron deploy` and `elastron connect`, with the real helm and kubectl."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from elastron.cli import deploying
from elastron.cloud.port_forward import PortForward, Target
from elastron.cloud.program import Program
from tests.cloud.api_world import World
from tests.cloud.conftest import kubeconfig, world  # noqa: F401  - fixtures
from tests.helm.harness import CHARTS, program

MINIMAL = CHARTS / "gadgetron/values-minimal.yaml"


@pytest.fixture(autouse=True)
def _programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """helm and kubectl are on the PATH, and see nothing of this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "helm").symlink_to(program("helm4"))
    (folder / "kubectl").symlink_to(program("kubectl"))
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def cluster(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))


def test_checks_changes_and_what_next_are_shown(run, cluster, world: World):  # noqa: F811
    shown = run("deploy", "gt1", "-f", MINIMAL, "--dry-run")
    assert "✓ Kubernetes v1.34.2" in shown.stdout
    assert "Release gt1 in imaging (new): " in shown.stdout
    assert "+ Deployment gt1-gadgetron-gateway" in shown.stdout
    assert ("deployments", "imaging", "gt1-gadgetron-gateway") not in world.objects

    done = run("deploy", "gt1", "-f", MINIMAL, "--yes", "--no-wait")
    assert "✓ gt1 is installed" in done.stdout
    assert "elastron connect gt1 -n imaging" in done.stdout

    again = run("deploy", "gt1", "-f", MINIMAL, "--set", "replicaCount=2", "--dry-run", "--json")
    (change,) = json.loads(again.stdout)["changes"]
    assert change["name"] == "gt1-gadgetron-node"
    assert "+  replicas: 2" in change["lines"]


def test_a_failed_check_changes_nothing_unless_forced(run, cluster, world: World):  # noqa: F811
    world.denied.add("create roles")
    refused = run("deploy", "gt1", "-f", MINIMAL, "--yes", "--json", code=1)
    told = json.loads(refused.stdout)
    assert told["possible"] is False
    assert told["revision"] is None
    assert any("create roles" in each["what"] for each in told["findings"])
    forced = run("deploy", "gt1", "-f", MINIMAL, "--yes", "--json", "--force", "--no-wait")
    assert json.loads(forced.stdout)["revision"] == 1


def test_nobody_there_to_be_asked(run, cluster):
    refused = run("deploy", "net", "--chart", "iperf3", code=1)
    assert "say --yes" in refused.stderr


@pytest.mark.parametrize("answer", [True, False])
def test_somebody_is_asked(run, cluster, world: World, monkeypatch, answer):  # noqa: F811
    monkeypatch.setattr(deploying, "somebody_there", lambda: True)
    asked: list[str] = []
    monkeypatch.setattr(
        deploying.typer, "confirm", lambda words, **_: asked.append(words) or answer
    )
    run("deploy", "net", "--chart", "iperf3", "--no-wait", code=0 if answer else 1)
    assert asked == ["Install net in namespace imaging?"]
    assert any(kind == "deployments" for kind, *_ in world.objects) is answer


def test_bad_values_charts_and_clusters_are_one_clear_line(run, cluster):
    bad = run("deploy", "gt1", "--set", "replicaCont=2", "--dry-run", code=1)
    assert "replicaCont" in bad.stderr
    assert "is no chart" in run("deploy", "gt1", "--chart", "nosuch", "--dry-run", code=1).stderr
    gone = run("deploy", "gt1", "--context", "absent", "-f", MINIMAL, "--dry-run", code=1)
    assert "does not answer" in gone.stdout


def test_no_helm(run, cluster, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "There is no kubectl" in run("deploy", "gt1", "--dry-run", code=1).stderr


def test_connect_without_a_fleet(run, cluster):
    assert "There is no fleet gt9" in run("connect", "gt9", code=1).stderr


_CONNECT = """
import sys
from contextlib import contextmanager
from elastron.cli import cluster_options
from elastron.cli.app import app
from tests.cli.test_deploy import Door
door = Door(sys.argv.pop())
cluster_options.open_cluster = lambda *_: (None, door, "imaging")
app()
"""


class Door:
    """A kubectl for which the fleet's gateway is a stub's pod."""

    namespace = "imaging"

    def __init__(self, binary: str) -> None:
        self._program = Program("kubectl", "", binary=binary)

    def current_namespace(self) -> str:
        return self.namespace

    def find(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        labels = {"app.kubernetes.io/component": "gateway"}
        ports = [{"name": "scans", "port": 9002}, {"name": "admin", "port": 8090}]
        meta = {"name": "door", "labels": labels}
        return [{"kind": "Service", "metadata": meta, "spec": {"ports": ports}}]

    def port_forward(self, target: str, _port: int, *, local_port: int) -> PortForward:
        assert target == "service/door"
        return PortForward(self._program, lambda: Target("a", "scans"), local_port=local_port)


def test_connect_holds_until_a_signal(tmp_path):
    from tests.cloud.test_port_forward import Pods, pod_at

    folder = tmp_path / "pods"
    folder.mkdir()
    pods = Pods(folder)
    pods.start("a")
    command = [sys.executable, "-c", _CONNECT, "connect", "gt1", "--port", "0", "--admin"]
    command += ["--admin-port", "0", "--json", str(folder / "kubectl")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            pytest.fail(process.communicate()[1])
        addresses = json.loads(line)
        assert set(addresses) == {"scans", "admin"}
        assert pod_at(int(addresses["scans"].rpartition(":")[2])) == "a"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    for each in pods.listeners:
        each.close()


@pytest.mark.parametrize("command", [("deploy",), ("deploy", "check"), ("connect",)])
def test_no_cluster_is_chosen(run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    said = run(*command, code=1).stderr
    assert "No cluster is chosen. Give --kubeconfig" in said
