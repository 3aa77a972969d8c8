"""After Azure: the real helm and kubectl bring a fleet into a cluster that remembers."""

from __future__ import annotations

import copy
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from elastron.cloud.azure import additions as additions_module
from elastron.cloud.azure.additions import additions
from elastron.cloud.azure.description import Aks, make_aks
from elastron.cloud.azure.events import Event, Step
from elastron.cloud.azure.handover import Done, Into, hand_over
from elastron.cloud.helm import Helm
from elastron.cloud.kubectl import Kubectl
from elastron.errors import CloudError, DeadlineError
from tests.cloud.api_world import KEDA, KINDS, World, ready_workloads
from tests.cloud.azure.arm_clock import VirtualClock
from tests.cloud.azure.arm_door import Door
from tests.cloud.azure.conftest import engine_to
from tests.helm.harness import program

MINIMAL = {"replicaCount": 1, "storage": {"dataVolumeSize": "1Gi"}}
VALUES: dict[str, Any] = {
    "name": "scans",
    "fleet": {"namespace": "imaging", "values": MINIMAL},
}


def runs_tests(world: World, each: dict[str, Any]) -> None:
    """Test pods end well, everything else is ready at once."""
    ready_workloads(world, each)
    if each["kind"] == "Pod" and "test" in each["metadata"]["name"]:
        done = copy.deepcopy(each)
        done["status"] = {"phase": "Succeeded"}
        world.put(done)


@pytest.fixture(autouse=True)
def _programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    for name, found in (("helm", "helm4"), ("kubectl", "kubectl")):
        (folder / name).symlink_to(program(found))
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.fixture
def charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A repository with charts of the names that are added, each with one ConfigMap."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("kube-prometheus-stack", "prometheus-adapter"):
        chart = tmp_path / name
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"apiVersion: v2\nname: {name}\nversion: 1.0.0\n")
        (chart / "templates" / "map.yaml").write_text(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\n"
            "data: {values: {{ toJson .Values | quote }}}\n"
        )
        subprocess.run(["helm", "package", chart, "-d", folder], check=True, capture_output=True)
    subprocess.run(["helm", "repo", "index", folder], check=True, capture_output=True)
    handler = partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(additions_module, "_PROMETHEUS", url)
    yield
    server.shutdown()
    server.server_close()
    thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Nothing."""


def brought(
    door: Door, aks: Aks, kubeconfig: Path, where: Path, events: list[Event] | None = None
) -> Done:
    """`up` as the command does it; the cluster's credentials lead to the stand-in."""
    text = kubeconfig.read_text()
    door.lookups.kubeconfig = lambda item, admin: text
    engine = engine_to(door)
    answers = engine.carry_out(engine.propose(aks))
    told = events if events is not None else []
    return hand_over(aks, answers, engine.arm, engine.login, kubeconfig=where, progress=told.append)


@pytest.mark.usefixtures("charts")
def test_a_fleet_is_brought_and_then_kept(
    door: Door, world: World, kubeconfig: Path, tmp_path: Path
) -> None:
    world.react = runs_tests
    aks, where = make_aks(VALUES), tmp_path / "mine"
    events: list[Event] = []
    done = brought(door, aks, kubeconfig, where, events)
    assert [what for what, _ in done.steps] == [
        "storage class elastron-shared",
        "kube-prometheus-stack as prometheus",
        "prometheus-adapter as prometheus-adapter",
        "fleet gt1",
        "test scan",
    ]
    assert {result for _, result in done.steps} == {"installed"}
    assert yaml.safe_load(where.read_text())["current-context"] == done.context == "stand-in"
    account = world.named("serviceaccounts", "gt1-gadgetron-storage")
    (client,) = (
        value
        for name, value in account["metadata"]["annotations"].items()
        if name == "azure.workload.identity/client-id"
    )
    identity = next(i for k, i in door.azure.items.items() if k.endswith("scans-storage"))
    assert client == identity.body["properties"]["clientId"]
    share = world.objects["storageclasses", "", "elastron-shared"]
    assert share["parameters"]["storageAccount"] == "scanssa"
    rules = world.named("configmaps", "prometheus-adapter", "monitoring")["data"]["values"]
    assert "gadgetron_activity" in rules
    begun = [event.what for event in events if event.step is Step.BEGUN]
    assert begun == [what for what, _ in done.steps]

    revisions = {place for place in world.objects if place[0] == "secrets"}
    writes = len(door.writes)
    again = brought(door, aks, kubeconfig, where)
    assert {result for _, result in again.steps} == {"kept"}
    assert {place for place in world.objects if place[0] == "secrets"} == revisions
    assert len(door.writes) == writes
    told = again.to_json()
    assert (told["release"], told["namespace"]) == ("gt1", "imaging")


def test_another_storage_class_replaces_the_old_one(
    world: World, helm: Helm, kubectl: Kubectl
) -> None:
    for share, protocol in (("smb", "smb"), ("nfs", "nfs"), ("nfs", "nfs")):
        into = Into(helm, kubectl)
        into.share(make_aks({"name": "scans", "storage": {"share": share}}))
        made = world.objects["storageclasses", "", "elastron-shared"]
        assert made["parameters"]["protocol"] == protocol
    writes = [line for line in world.requests if line.split()[0] in ("POST", "PATCH", "DELETE")]
    into.share(make_aks({"name": "scans", "storage": {"share": "none"}}))
    assert len([line for line in writes if "storageclasses" in line]) == 3


def test_keda_comes_some_time_after_the_cluster(world: World, helm: Helm, kubectl: Kubectl) -> None:
    class Slow(VirtualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(30 * seconds)

    class Later(VirtualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.now() > 1025:
                world.kinds.append(KEDA)

    clock = Later()
    Into(helm, kubectl, clock=clock).await_keda()
    assert clock.slept == [10, 10, 10]
    world.kinds.clear()
    world.kinds += KINDS
    with pytest.raises(DeadlineError, match="no KEDA after 10 minutes"):
        Into(helm, kubectl, clock=Slow()).await_keda()


def test_no_fleet_is_wanted(door: Door, kubeconfig: Path, tmp_path: Path, world: World) -> None:
    aks = make_aks({"name": "scans", "fleet": {"install": False}})
    done = brought(door, aks, kubeconfig, tmp_path / "mine")
    assert done.steps == ()
    assert (tmp_path / "mine").exists()
    assert not world.requests


@pytest.mark.parametrize("private", [False, True])
def test_a_cluster_that_cannot_be_reached(
    door: Door, world: World, kubeconfig: Path, tmp_path: Path, private: bool
) -> None:
    world.broken = True
    values = {**VALUES, "network": {"private_cluster": private}}
    with pytest.raises(CloudError, match="vpn client" if private else "authorized_ranges"):
        brought(door, make_aks(values), kubeconfig, tmp_path / "mine")
    assert (tmp_path / "mine").exists()


def test_what_is_added_follows_the_description() -> None:
    def names(**values: Any) -> list[str]:
        return [one.chart for one in additions(make_aks({"name": "scans", **values}))]

    gpu = {"vm_size": "Standard_NC4as_T4_v3"}
    assert names() == ["kube-prometheus-stack", "prometheus-adapter"]
    assert names(fleet={"autoscaler": "keda"}) == ["kube-prometheus-stack"]
    assert names(monitoring={"metrics": "none"}) == []
    assert names(monitoring={"metrics": "managed"}, pools={"g": gpu}) == ["nvidia-device-plugin"]
    assert names(
        monitoring={"metrics": "none"}, pools={"g": {**gpu, "gpu_driver": "operator"}}
    ) == ["gpu-operator"]
    (plugin,) = additions(
        make_aks({"name": "scans", "monitoring": {"metrics": "none"}, "pools": {"g": gpu}})
    )
    assert plugin.values["tolerations"] == [
        {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
    ]
